"""The triggers' way in: the records of one generation, followed over the transport from the checkpoints on.

Kafka's client and the local tail block, so a thread of its own asks the feed for the next records. When the generation
has ended, what is left of it comes from the log.
"""

import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Final

import structlog
from msgspec import Struct

from event_store.consumers.checkpoints import Mark
from event_store.transport import generations, partition_log
from event_store.transport.following import Follower, FollowerMetrics
from event_store.transport.generations import Connection
from event_store.transport.partition_log import PartitionLog
from event_store.transport.transport import Generation, GenerationEnded, Partition, Record, Transport
from runtime import database

POLL_S: Final = 0.2
"""Longest wait for records before the thread sees whether it should stop."""

RECORDS_PER_POLL_MAX: Final = 2_000
"""Records requested at a time; a transport may bring more."""

log = structlog.get_logger()


class Brought(Struct, frozen=True):
    """Records by partition; at the end of a generation also how far a partition holds nothing more."""

    records: Mapping[Partition, list[Record]] = {}
    passed_over: Mapping[Partition, int] = {}


class Feed(Struct, frozen=True):
    """What to follow: a generation, from these marks on; `hints` are committed to the broker for its operators."""

    database_url: str
    transport: Transport
    group: str
    generation: Generation
    starts: Mapping[Partition, Mark]
    hints: Callable[[], Mapping[Partition, Mark]]
    metrics: FollowerMetrics
    stop: threading.Event

    def brought(self) -> Generator[Brought]:
        """Records until the generation is read to its end, or `stop` is set; one thread, which may close it early.

        Raises:
            TransportError, psycopg.Error: begin anew from the checkpoints.
        """
        with database.connect(self.database_url, role="counterfoil_writer", name="processes feed") as conn:
            partitions = PartitionLog(conn, generation=self.generation)
            reached = {source: mark.position for source, mark in self.starts.items()}
            if partitions.published().newest == self.generation.generation:
                yield from self._followed(partitions, reached)
            if not self.stop.is_set():
                yield from self._rest(conn, reached)

    def _followed(self, partitions: PartitionLog, reached: dict[Partition, int]) -> Iterator[Brought]:
        subscription = self.transport.subscribe(self.group, generation=self.generation)
        compares = self.generation.carrier != "local"
        follower = Follower(subscription, log=partitions, metrics=self.metrics, compares=compares)
        try:
            while not self.stop.is_set():
                # A carrier that is gone ends the term: its subscription may never come back, a new one will.
                followed = follower.poll(POLL_S, max_records=RECORDS_PER_POLL_MAX)
                for source in sorted(followed.assigned):
                    start = self.starts[source]
                    known = reached[source] == start.position
                    follower.start(source, position=reached[source], leaf=start.leaf if known else None)
                reached |= {source: records[-1].position for source, records in followed.records.items()}
                yield Brought(followed.records)
                for source, mark in self.hints().items():
                    follower.commit(source, position=mark.position)
        except GenerationEnded as ended:
            log.info("generation_ended", generation=self.generation.generation, reason=str(ended))
        finally:
            follower.close()

    def _rest(self, conn: Connection, reached: dict[Partition, int]) -> Iterator[Brought]:
        """What is left of an ended generation."""
        following = generations.generation_numbered(conn, generation=self.generation.generation + 1)
        end = following.start_position - 1
        for source in generations.unfinished(reached, next_generation=following):
            while reached[source] < end:
                page = partition_log.read_partition(
                    conn, source, generation=self.generation, after=reached[source], upto=end
                )
                reached[source] = page.reached
                yield Brought({source: page.records}, {source: page.reached})
