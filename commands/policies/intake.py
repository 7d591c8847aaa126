"""The thread that follows the transport: it turns records into triggers and hands them over, a bounded number ahead.

Kafka's client and the local tail block, so they have a thread of their own; the worker's loop never waits for them.
When the generation has ended, the thread reads what is left of it from the log and finishes.
"""

import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import structlog

from commands.policies.policy import Policy, Reaction
from commands.policies.progress import Arrival, Mark, Portion
from commands.policies.standing import Standing
from commands.policies.trigger import Trigger, trigger_of
from event_store import generations, partition_log
from event_store.fingerprints import Fingerprints
from event_store.following import Follower, FollowerMetrics
from event_store.generations import Connection
from event_store.partition_log import PartitionLog
from event_store.transport import (
    GenerationEnded,
    Partition,
    Record,
    Transport,
)
from runtime import database

GROUP: Final = "policies"

POLL_S: Final = 0.2
"""Longest wait for records before the thread looks whether it should stop."""

RECORDS_PER_POLL_MAX: Final = 2_000
"""Records asked for at a time; a transport may bring more."""

RECORDS_PER_HAND_OVER: Final = 480
"""Records decoded at a time: an order of many lines takes ten times its bytes, so few are held decoded."""

HAND_OVERS_AHEAD_MAX: Final = 2
"""What may wait, decoded, for the worker's loop before the transport is asked for more."""

JOIN_S: Final = 5.0

log = structlog.get_logger()


class Intake:
    """Follows one generation from the policies' checkpoints on."""

    def __init__(
        self,
        database_url: str,
        *,
        transport: Transport,
        standing: Standing,
        policies: Sequence[Policy],
        fingerprints: Fingerprints,
        wake: Callable[[], None],
        metrics: FollowerMetrics,
    ) -> None:
        """`wake` is called from the thread whenever there is something to take or to know."""
        self.failure: Exception | None = None
        """Why the thread ended early; raised by whoever runs the worker."""
        self.finished = threading.Event()
        """The generation was read to its end."""
        self._database_url = database_url
        self._transport = transport
        self._standing = standing
        self._reactions = _reactions(policies)
        self._fingerprints = fingerprints
        self._wake = wake
        self._metrics = metrics
        self._delivered = dict(standing.starts)
        self._portions: queue.Queue[list[Portion]] = queue.Queue(maxsize=HAND_OVERS_AHEAD_MAX)
        self._hints: Mapping[Partition, int] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="policies intake", daemon=True)

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def take(self) -> list[Portion] | None:
        """What arrived, None when nothing waits. Called by the worker's loop when it has room for more."""
        try:
            return self._portions.get_nowait()
        except queue.Empty:
            return None

    def hint(self, positions: Mapping[Partition, int]) -> None:
        """Let the broker know where the checkpoints are, when the thread next gets to it."""
        self._hints = dict(positions)

    def close(self) -> None:
        """Stop following; what was not taken is dropped."""
        self._stop.set()
        self._thread.join(JOIN_S)

    def _run(self) -> None:
        try:
            with database.connect(
                self._database_url, role="counterfoil_writer", name="policies intake"
            ) as conn:
                self._follow(conn)
                self._finish(conn)
        except Exception as error:  # noqa: BLE001 - told to the loop, which decides what it means
            self.failure = error
        finally:
            self._wake()

    def _follow(self, conn: Connection) -> None:
        """Follow until the generation ends or the worker stops."""
        generation = self._standing.generation
        partitions = PartitionLog(conn, generation=generation)
        if partitions.published().newest > generation.generation:
            return
        subscription = self._transport.subscribe(GROUP, generation=generation)
        follower = Follower(subscription, log=partitions, metrics=self._metrics)
        try:
            while not self._stop.is_set():
                self._round(follower)
        except GenerationEnded as ended:
            log.info("policies_generation_ended", generation=generation.generation, reason=str(ended))
        finally:
            follower.close()

    def _round(self, follower: Follower) -> None:
        # A carrier that is gone ends the term: its subscription may never come back, a new one will.
        followed = follower.poll(POLL_S, max_records=RECORDS_PER_POLL_MAX)
        for source in sorted(followed.assigned):
            mark = self._delivered[source]
            follower.start(source, position=mark.position, leaf=mark.leaf)
        for some in _slices(followed.records):
            self._hand_over([self._portion(source, records) for source, records in some.items()])
        hints, self._hints = self._hints, {}
        for source, position in hints.items():
            follower.commit(source, position=position)

    def _finish(self, conn: Connection) -> None:
        """Read what is left of an ended generation from the log."""
        generation = self._standing.generation
        if self._stop.is_set():
            return
        following = generations.generation_numbered(conn, generation=generation.generation + 1)
        end = following.start_position - 1
        positions = {source: mark.position for source, mark in self._delivered.items()}
        for source in generations.unfinished(positions, next_generation=following):
            while self._delivered[source].position < end and not self._stop.is_set():
                after = self._delivered[source].position
                page = partition_log.read_partition(
                    conn, source, generation=generation, after=after, upto=end
                )
                for some in _slices({source: page.records}):
                    self._hand_over([self._portion(source, some[source])])
                if page.reached > self._delivered[source].position:
                    self._delivered[source] = Mark(page.reached)
                    self._hand_over([Portion(source, [], self._delivered[source])])
        if not self._stop.is_set():
            self.finished.set()

    def _portion(self, source: Partition, records: Sequence[Record]) -> Portion:
        """The triggers among the records of one partition, and where it stands after them."""
        mark = self._delivered[source]
        arrivals: list[Arrival] = []
        for record in records:
            if triggers := self._triggers(source, record):
                arrivals.append(Arrival(mark, triggers))
            mark = Mark(record.position, record.leaf)
        self._delivered[source] = mark
        return Portion(source, arrivals, mark)

    def _triggers(self, source: Partition, record: Record) -> list[Trigger]:
        """What a record is to the policies, except to those that were registered or came further than it."""
        return [
            trigger_of(record, policy=policy, reaction=reaction, fingerprints=self._fingerprints)
            for policy, reaction in self._reactions.get(record.type, ())
            if policy.name in self._standing.marks
            and record.position > self._standing.marks[policy.name][source].position
        ]

    def _hand_over(self, portions: list[Portion]) -> None:
        while portions and not self._stop.is_set():
            try:
                self._portions.put(portions, timeout=POLL_S)
            except queue.Full:
                continue
            self._wake()
            return


def _slices(
    brought: Mapping[Partition, Sequence[Record]],
) -> Iterator[dict[Partition, Sequence[Record]]]:
    """What was brought, some records of every partition at a time."""
    size = max(1, RECORDS_PER_HAND_OVER // max(1, len(brought)))
    for start in range(0, max(map(len, brought.values()), default=0), size):
        yield {
            source: records[start : start + size]
            for source, records in brought.items()
            if start < len(records)
        }


def _reactions(policies: Sequence[Policy]) -> dict[str, list[tuple[Policy, Reaction]]]:
    reactions: dict[str, list[tuple[Policy, Reaction]]] = {}
    for policy in policies:
        for type_name, reaction in policy.reaction_to().items():
            reactions.setdefault(type_name, []).append((policy, reaction))
    return reactions
