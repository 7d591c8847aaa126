"""The relay: carries the log, in position order, to the partitions of its generation.

`carry` is the pure step; `Relay` one round of read, publish, save; `consumer` is the declaration for the driver.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

import msgspec
import structlog
from msgspec import structs
from prometheus_client import CollectorRegistry, Counter, Gauge

from event_store.consumers.driver import Consumer, ConsumerSession, Waits
from event_store.consumers.errors import OpenAgain
from event_store.log import paging, reading
from event_store.log.envelope import RecordedEvent
from event_store.transport import generations, partition_log
from event_store.transport.generations import Connection, Frame
from event_store.transport.partitioning import PARTITIONS, partition_of
from event_store.transport.transport import (
    Carrier,
    Generation,
    Partition,
    Publisher,
    Record,
    RefusedByWitness,
    Transport,
    TransportError,
)

LEASE_NAME: Final = "relay"
ROWS_PER_ROUND: Final = 5_000
"""Events of one flush: one batch is in flight per partition, so its size decides the rate."""
WAITS: Final = Waits(first_s=0.005, longest_s=0.25, unhinted_s=0.020, pace_s=0.015)
LOCAL_PACE_S: Final = 0.1
"""A relay that publishes nothing may be slow: its rows only show how far it is."""
FRAME_EVERY_S: Final = 0.5
"""How often an idle relay reads whether its generation ended, or a witness refuses the log."""
LAG_EVERY_S: Final = 1.0
"""How often the lag is measured."""

log = structlog.get_logger()


class NotActive(OpenAgain, TransportError):
    """Another relay owns the row by now, or its generation ended."""


class BrokenLog(TransportError):
    """The log has a hole; nothing behind it is carried."""


class RelayState(msgspec.Struct, frozen=True):
    """The state in the relay's rows: every event up to `position` is acknowledged, `partitions` the last of each."""

    generation: Generation
    position: int
    partitions: Mapping[Partition, int]


class Carried(msgspec.Struct, frozen=True):
    """The records of one round, and the state to save once all of them are acknowledged."""

    records: list[Record]
    state: RelayState


def carry(state: RelayState, *, rows: Sequence[RecordedEvent], frame: Frame) -> Carried:
    """Turn rows that continue `state` into linked records, up to the end of the generation.

    Raises:
        BrokenLog: the rows leave out a position.
        RefusedByWitness: a witness knows another history.
    """
    if frame.refusal is not None:
        raise RefusedByWitness(frame.refusal)
    generation = state.generation
    last = dict(state.partitions)
    position = state.position
    records = []
    for event in rows:
        if frame.end is not None and event.position >= frame.end:
            break
        if event.position != position + 1:
            raise BrokenLog(
                f"the log has no event at position {position + 1}: run `counterfoil audit verify`"
            )
        position = event.position
        epoch = frame.epochs.at(position)
        partition = partition_of(event.key, generation.partitions)
        prev, last[partition] = last[partition], position
        records.append(partition_log.as_record(event, partition=partition, prev=prev, epoch=epoch))
    return Carried(records=records, state=RelayState(generation, position, last))


class RelayRows(Protocol):
    """The relay's access to the database; `PostgresRelayRows` implements it."""

    def load(self) -> RelayState:
        """Take over the rows of the current generation."""

    def rows_after(self, position: int, *, limit: int) -> Sequence[RecordedEvent]:
        """Read events of the log in order."""

    def frame(self, generation: Generation) -> Frame:
        """Read epochs and end of a generation; after the rows they are asked about."""

    def save(self, state: RelayState) -> None:
        """Save acknowledged positions; raise NotActive if another relay owns the rows."""

    def verify(self, carried: Mapping[int, bytes]) -> None:
        """Raise Fork unless the log holds each leaf at its position."""


class RelayMetrics:
    """Metrics of the relay."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.records = Counter("counterfoil_relay_records", "Records acknowledged", registry=registry)
        self.position = Gauge("counterfoil_relay_position", "Position acknowledged", registry=registry)
        self.rebuilds = Counter(
            "counterfoil_relay_rebuilds", "Producers built from the relay's rows", registry=registry
        )
        self.lost_tails = Counter(
            "counterfoil_relay_lost_tails", "Partitions found shorter than published", registry=registry
        )


class Relay:
    """Rounds of read, publish, save. One thread."""

    def __init__(
        self,
        rows: RelayRows,
        *,
        open_publisher: Callable[[Generation], Publisher],
        metrics: RelayMetrics,
        rows_per_round: int = ROWS_PER_ROUND,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stored = rows
        self._open_publisher = open_publisher
        self._metrics = metrics
        self._rows_per_round = rows_per_round
        self._state: RelayState | None = None
        self._publisher: Publisher | None = None
        self._clock = clock
        self._framed_at_s = float("-inf")

    def round(self) -> int:
        """Carry what the log gained, one bounded page; return the number of events carried.

        Raises:
            Fork: the carrier holds what the log does not; nothing was published.
            RefusedByWitness: a witness knows another history of this log; nothing was published.
            TransportError: nothing of this round was remembered; call again.
        """
        try:
            return self._round()
        except BaseException:
            # A producer that failed once may have left a hole in a partition: the next round builds a new one from the
            # rows, and sends again whatever is behind them.
            self.close()
            raise

    def close(self) -> None:
        """Throw the publisher away; the next round builds everything from the rows."""
        publisher, self._publisher, self._state = self._publisher, None, None
        if publisher is not None:
            publisher.close()

    @property
    def position(self) -> int | None:
        """The position up to which everything is acknowledged; None until the next round reads the rows."""
        return None if self._state is None else self._state.position

    def _round(self) -> int:
        if self._state is None or self._publisher is None:
            self._state, self._publisher = self._rebuild()
        state = self._state
        rows = self._stored.rows_after(state.position, limit=self._rows_per_round)
        now_s = self._clock()
        if not rows and now_s - self._framed_at_s < FRAME_EVERY_S:
            return 0
        self._framed_at_s = now_s
        # Read after the rows: a generation that ended in between ends before some of them, and a fence is seen.
        frame = self._stored.frame(state.generation)
        carried = carry(state, rows=rows, frame=frame)
        if not carried.records:
            if frame.end is not None:
                self.close()
            return 0
        # Saved only once all is acknowledged: a crash between the two repeats records, and never skips one.
        self._publisher.publish(carried.records)
        self._stored.save(carried.state)
        self._state = carried.state
        self._count(carried)
        return carried.state.position - state.position

    def _rebuild(self) -> tuple[RelayState, Publisher]:
        state = self._stored.load()
        publisher = self._open_publisher(state.generation)
        try:
            last = publisher.last_records()
            if last is not None:
                self._stored.verify({record.position: record.leaf for record in last.values()})
                self._count_lost(state, last)
        except BaseException:
            publisher.close()
            raise
        self._metrics.rebuilds.inc()
        log.info("relay_built_from_rows", generation=state.generation.generation, position=state.position)
        return state, publisher

    def _count_lost(self, state: RelayState, last: Mapping[Partition, Record]) -> None:
        """Say which partitions hold less than was published to them; consumers read that from the log."""
        for partition, published in state.partitions.items():
            first = state.generation.start_position
            if published >= first and (partition not in last or last[partition].position < published):
                self._metrics.lost_tails.inc()
                log.warning("relay_found_lost_tail", partition=partition, published=published)

    def _count(self, carried: Carried) -> None:
        self._metrics.records.inc(len(carried.records))
        self._metrics.position.set(carried.state.position)


_TAKE: Final = """
update transport.relay set owner = %(owner)s where generation = %(generation)s returning position
"""
_PARTITIONS: Final = """
select partition, position from transport.relay_partition where generation = %(generation)s
"""
_SAVE: Final = """
with moved as (
    update transport.relay set position = %(position)s, published_at = clock_timestamp()
    where generation = %(generation)s and owner = %(owner)s and position <= %(position)s
        and not exists (select from transport.generation newer where newer.generation > %(generation)s)
    returning generation
), moved_partitions as (
    update transport.relay_partition part set position = given.position
    from unnest(%(partitions)s::integer[], %(positions)s::bigint[])
        as given (partition, position), moved
    where part.generation = moved.generation and part.partition = given.partition
        and part.position < given.position
)
select count(*) from moved
"""


_HOLDS: Final = "select true from runtime.lease where name = %(name)s and owner = %(owner)s for share"


class PostgresRelayRows:
    """The relay's rows and the log. Every write says `where owner = me`."""

    def __init__(self, conn: Connection, *, owner: str) -> None:
        self._conn = conn
        self._owner = owner

    def settle(self, *, carrier: Carrier, partitions: int) -> None:
        """Make the current generation one with these settings, beginning a new one when it has others.

        Only the active relay may say so: a standby with other settings would end the generation that is carried.

        Raises:
            NotActive: the lease is another's by now.
        """
        with self._conn.transaction():
            mine = self._conn.execute(_HOLDS, {"name": LEASE_NAME, "owner": self._owner}).fetchone()
            if mine is None:
                raise NotActive("the relay's lease was taken over before its settings were settled")
            generations.settle(self._conn, carrier=carrier, partitions=partitions)

    def load(self) -> RelayState:
        """Take over the rows of the current generation, so that an earlier owner's writes fail."""
        with self._conn.transaction():
            generation = generations.current_generation(self._conn)
            parameters = {"owner": self._owner, "generation": generation.generation}
            row = self._conn.execute(_TAKE, parameters).fetchone()
            assert row is not None, "a generation begins with its relay row"
            partitions = self._conn.execute(_PARTITIONS, parameters).fetchall()
        return RelayState(generation, row[0], dict(partitions))  # type: ignore[arg-type]

    def rows_after(self, position: int, *, limit: int) -> list[RecordedEvent]:
        """Read events of the log in order; position order is commit order, so none appears behind."""
        return paging.page_after(self._conn, position, rows_max=limit)

    def frame(self, generation: Generation) -> Frame:
        """Read epochs and end of a generation."""
        return generations.frame(self._conn, generation=generation.generation)

    def save(self, state: RelayState) -> None:
        """Move position and partitions in one statement, if the rows are still ours and the generation current."""
        parameters = {
            "owner": self._owner,
            "generation": state.generation.generation,
            "position": state.position,
            "partitions": list(state.partitions),
            "positions": list(state.partitions.values()),
        }
        row = self._conn.execute(_SAVE, parameters).fetchone()
        if row != (1,):
            raise NotActive(f"the relay's rows of generation {state.generation.generation} were taken over")

    def verify(self, carried: Mapping[int, bytes]) -> None:
        """Raise Fork unless the log holds each leaf at its position."""
        partition_log.verify_leaves(self._conn, carried)


def consumer(transport: Transport, *, registry: CollectorRegistry, partitions: int = PARTITIONS) -> Consumer:
    """The consumer that publishes the log to a transport.

    Args:
        transport: where to carry to; a change of carrier begins a new generation.
        registry: where metrics go.
        partitions: how many; a change begins a new generation.
    """
    metrics = RelayMetrics(registry)

    def begin(session: ConsumerSession) -> "_Carrying":
        assert session.lease is not None, "the relay has a lease"
        rows = PostgresRelayRows(session.conn, owner=session.lease.owner)
        rows.settle(carrier=transport.carrier, partitions=partitions)
        return _Carrying(session, Relay(rows, open_publisher=transport.publisher, metrics=metrics))

    return Consumer(
        name=LEASE_NAME,
        role="counterfoil_relay",
        open=begin,
        lease=LEASE_NAME,
        waits=WAITS if transport.carrier == "kafka" else structs.replace(WAITS, pace_s=LOCAL_PACE_S),
        # Losing the newest write means an older row: records are published again, none is skipped.
        settings={"synchronous_commit": "off"},
    )


class _Carrying:
    """The relay's rounds while it holds the lease."""

    def __init__(self, session: ConsumerSession, relay: Relay) -> None:
        self._session = session
        self._relay = relay
        self._measured_at_s = float("-inf")

    def round(self) -> int:
        """Carry one page; how many events it held."""
        carried = self._relay.round()
        if carried:
            self._session.news.announce()
        if time.monotonic() - self._measured_at_s > LAG_EVERY_S:
            self._measure()
        return carried

    def close(self) -> None:
        """Close the publisher; the next owner builds its own from the rows."""
        self._session.metrics.left(LEASE_NAME)
        self._relay.close()

    def _measure(self) -> None:
        self._measured_at_s = time.monotonic()
        if (position := self._relay.position) is not None:
            head = reading.head(self._session.conn).position
            self._session.metrics.stands(LEASE_NAME, lag_events=max(0, head - position))
