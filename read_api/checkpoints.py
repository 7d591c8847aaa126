"""How far live views have come: one snapshot of the log, the relay and every live build, and what follows from it.

They are read by one statement. A build's checkpoints come from there, or from the snapshot in which rows were read.
They may be old, so what is concluded from one must stay true: checkpoints only grow, and an event that
a relay published stays published.
"""

import functools
from collections.abc import Mapping
from datetime import datetime
from typing import Final

import msgspec
from msgspec import Struct

from event_store.transport.position_token import PositionToken
from event_store.transport.transport import WHOLE_LOG
from projections.storing import BuildId

TEXTS_KEPT_MAX: Final = 4_096
"""Texts of tokens kept: many reads are answered from the same few positions."""

SNAPSHOT: Final = """
select json_build_object(
    'installation', (select id from log.installation),
    'position', head.position,
    'epoch', head.epoch,
    'recorded_at', head.recorded_at,
    'epochs', (select json_agg(json_build_array(epoch, first_position) order by epoch) from log.epoch),
    'generations', (
        select json_agg(json_build_array(generation, partitions) order by generation)
        from transport.generation
    ),
    'relays', (
        select coalesce(json_agg(json_build_array(relay.generation, relay.position, (
            select json_agg(json_build_array(last.partition, last.position))
            from transport.relay_partition last where last.generation = relay.generation
        ))), '[]')
        from transport.relay
        where relay.generation >= (select max(generation) - 1 from transport.generation)
    ),
    'shared', (
        select coalesce(json_agg(json_build_array(name, generation, positions)), '[]')
        from (
            select name, generation, json_object_agg(partition, position) as positions
            from views.shared_checkpoint group by name, generation
        ) by_generation
    ),
    'checkpoints', (
        select coalesce(json_agg(json_build_array(view, shape, build, generation, shared, coalesce(apart, '{}'))), '[]')
        from (
            select c.view, c.shape, c.build, c.generation, max(c.shared) as shared,
                case when min(c.shared) <> max(c.shared)
                    then (
                        select json_object_agg(e.partition, e.position) from views.checkpoint e
                        where (e.view, e.shape, e.build, e.generation) = (c.view, c.shape, c.build, c.generation)
                    )
                    else json_object_agg(c.partition, c.position) filter (where c.shared is null)
                end as apart
            from views.build_checkpoint c group by c.view, c.shape, c.build, c.generation
        ) by_build
    ),
    'builds', (
        select coalesce(json_agg(json_build_object(
            'view', live.view, 'shape', live.shape, 'build', live.build,
            'parked', coalesce(parked.keys, '{}'), 'parked_count', coalesce(parked.count, 0)
        )), '[]')
        from views.live live
        left join (
            select consumer, shape, build, count(*) as count,
                json_object_agg(partition_key, position) filter (where number <= %(parked_max)s) as keys
            from (
                select consumer, shape, build, partition_key, position,
                    row_number() over (partition by consumer, shape, build) as number
                from consumers.parked
            ) numbered
            group by consumer, shape, build
        ) parked on parked.consumer = live.view and parked.shape = live.shape and parked.build = live.build
    )
)::text
from log.head
"""
"""One snapshot of everything that answers depend on, as one JSON text.

Of each build only what stands apart from a shared checkpoint: nothing, nearly always."""


class CheckpointRow(Struct, frozen=True, array_like=True):
    """One checkpoint row: every event of the partition up to `position` is applied, skipped or parked."""

    generation: int
    partition: int
    position: int


class Checkpoints(Struct, frozen=True):
    """How far a build stood in one snapshot: per partition, everything up to there is in its rows.

    In its rows, skipped by an operator, or parked: a parked key's rows stand before its parked event. A global view
    stands in the whole log, generation 0, of one partition.
    """

    epoch: int
    generation: int
    positions: dict[int, int]


class Published(Struct, frozen=True):
    """How far the relay of a generation came: all events up to `position`, and the last one of each partition."""

    position: int
    last: dict[int, int]


class LiveBuild(Struct, frozen=True):
    """The build that answers for a view: its checkpoints and its parked keys."""

    id: BuildId
    checkpoints: Checkpoints
    parked: dict[str, int]
    parked_count: int

    def may_be_parked(self, partition_key: str) -> bool:
        """Whether the key was parked in this snapshot; with more keys than it lists, every key may be."""
        return partition_key in self.parked or self.parked_count > len(self.parked)


class CheckpointSnapshot(Struct, frozen=True):
    """One reading of all checkpoints, and when it left (`seen_at`, seconds of the process's monotonic clock).

    `first_positions` by epoch, `partitions` (how many) and `published` by generation, `builds` by view.
    """

    seen_at: float
    installation: str
    position: int
    epoch: int
    recorded_at: datetime
    first_positions: dict[int, int]
    partitions: dict[int, int]
    published: dict[int, Published]
    builds: dict[str, LiveBuild]


def covered(checkpoints: Checkpoints, published: Published | None) -> int:
    """The highest position such that every event up to it is in the build's rows."""
    return min(_effective(checkpoints, published).values(), default=0)


def reached(token: PositionToken, checkpoints: Checkpoints, published: Published | None) -> bool:
    """Whether a build has everything that a token names.

    Only a build that stands in the token's generation is compared partition by partition; any other, so also that of a
    global view, must have everything up to the token's highest position.
    """
    if token.generation != checkpoints.generation:
        return token.highest <= covered(checkpoints, published)
    behind = {p: at for p, at in token.partitions.items() if checkpoints.positions.get(p, -1) < at}
    if not behind:
        return True
    # A partition that stands at the last event published to it has everything that the relay has passed.
    return all(
        p in checkpoints.positions and at <= _lifted(p, checkpoints.positions[p], published)
        for p, at in behind.items()
    )


def applied(checkpoints: Checkpoints, snapshot: CheckpointSnapshot) -> PositionToken:
    """These checkpoints as an answer's token; sent back as Min-Position, it asks for at least as much."""
    if checkpoints.generation == WHOLE_LOG.generation:
        return applied_by_all([checkpoints], snapshot)
    return PositionToken(checkpoints.epoch, checkpoints.generation, checkpoints.positions)


def applied_text(
    checkpoints: Checkpoints, snapshot: CheckpointSnapshot, *, parked: tuple[int, int] | None = None
) -> str:
    """The same as header text; `parked` is (partition, position) of the event at which the key that was read stands."""
    token = applied(checkpoints, snapshot)
    if parked is not None and parked[0] in token.partitions:
        partition, position = parked
        lowered = {**token.partitions, partition: min(token.partitions[partition], position - 1)}
        token = PositionToken(token.epoch, token.generation, lowered)
    return _text(token.epoch, token.generation, tuple(token.partitions.items()))


@functools.lru_cache(maxsize=TEXTS_KEPT_MAX)
def _text(epoch: int, generation: int, partitions: tuple[tuple[int, int], ...]) -> str:
    return PositionToken(epoch, generation, dict(partitions)).encode()


def applied_by_all(all_checkpoints: list[Checkpoints], snapshot: CheckpointSnapshot) -> PositionToken:
    """The token of an answer made of several builds: what every one of them has."""
    # Callers know generations of the transport only: a position of the whole log is given as one of all partitions.
    generation = max(checkpoints.generation for checkpoints in all_checkpoints) or max(
        snapshot.partitions, default=0
    )
    count = snapshot.partitions.get(generation, 0)
    common: dict[int, int] = {}
    for checkpoints in all_checkpoints:
        published = snapshot.published.get(checkpoints.generation)
        if checkpoints.generation == generation:
            has = _effective(checkpoints, published)
        else:
            has = dict.fromkeys(range(count), covered(checkpoints, published))
        common = {p: min(at, has.get(p, 0)) for p, at in (common or has).items()}
    return PositionToken(all_checkpoints[0].epoch, generation, common)


def checkpoints_of(rows: list[CheckpointRow], *, epoch: int) -> Checkpoints | None:
    """A build's checkpoints from its checkpoint rows; None when it has none.

    Rows of older generations stay behind as history: the newest generation's are created together, all at once.
    """
    if not rows:
        return None
    newest = max(row.generation for row in rows)
    return Checkpoints(
        epoch=epoch,
        generation=newest,
        positions={row.partition: row.position for row in rows if row.generation == newest},
    )


def _effective(checkpoints: Checkpoints, published: Published | None) -> Mapping[int, int]:
    """Positions per partition, those at the end of what was published lifted to how far the relay came.

    `published` may be older than the checkpoints: up to its position nothing more will ever come.
    """
    if published is None:
        return checkpoints.positions
    return {p: _lifted(p, at, published) for p, at in checkpoints.positions.items()}


def _lifted(partition: int, at: int, published: Published | None) -> int:
    """A position, or how far the relay came where nothing was published to the partition behind it."""
    if published is None or at < published.last.get(partition, at + 1):
        return at
    return max(at, published.position)


class _SeenBuild(Struct, frozen=True):
    view: str
    shape: int
    build: int
    parked: dict[str, int]
    parked_count: int


class _SeenCheckpoints(Struct, frozen=True, array_like=True):
    view: str
    shape: int
    build: int
    generation: int
    shared: str | None
    apart: dict[int, int]


class _SeenShared(Struct, frozen=True, array_like=True):
    name: str
    generation: int
    positions: dict[int, int]


class _Seen(Struct, frozen=True):
    installation: str
    position: int
    epoch: int
    recorded_at: datetime
    epochs: list[tuple[int, int]]
    generations: list[tuple[int, int]]
    relays: list[tuple[int, int, list[tuple[int, int]]]]
    shared: list[_SeenShared]
    checkpoints: list[_SeenCheckpoints]
    builds: list[_SeenBuild]


_decode = msgspec.json.Decoder(_Seen).decode


def read_snapshot(answer: str, *, seen_at: float) -> CheckpointSnapshot:
    """A snapshot from the JSON text that `SNAPSHOT` answers."""
    seen = _decode(answer)
    shared = {(each.name, each.generation): each.positions for each in seen.shared}
    newest: dict[BuildId, Checkpoints] = {}
    for each in seen.checkpoints:
        build = BuildId(each.view, each.shape, each.build)
        if build not in newest or newest[build].generation < each.generation:
            newest[build] = Checkpoints(seen.epoch, each.generation, _positions(each, shared))
    return CheckpointSnapshot(
        seen_at=seen_at,
        installation=seen.installation,
        position=seen.position,
        epoch=seen.epoch,
        recorded_at=seen.recorded_at,
        first_positions=dict(seen.epochs),
        partitions=dict(seen.generations),
        published={generation: Published(position, dict(last)) for generation, position, last in seen.relays},
        builds={build.view: _live_build(build, newest) for build in seen.builds},
    )


def _positions(seen: _SeenCheckpoints, shared: Mapping[tuple[str, int], dict[int, int]]) -> dict[int, int]:
    """Where a build stands: it has a checkpoint in every partition, and shares those that do not stand apart."""
    if seen.shared is None:
        return seen.apart
    together = shared[seen.shared, seen.generation]
    return {**together, **seen.apart} if seen.apart else together


def _live_build(seen: _SeenBuild, checkpoints: Mapping[BuildId, Checkpoints]) -> LiveBuild:
    build = BuildId(seen.view, seen.shape, seen.build)
    return LiveBuild(build, checkpoints[build], seen.parked, seen.parked_count)
