"""How far live views have come: one look at the log, the relay and every live build, and what follows from it.

A look is one statement, so one snapshot. A build's standing comes from a look, or from the snapshot in which rows
were read. Looks may be old, so what is concluded from one must stay true: checkpoints only grow, and an event that
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
"""Texts of tokens kept: many reads are answered from the same few standings."""

LOOK: Final = """
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
    'builds', (
        select coalesce(json_agg(json_build_object(
            'view', live.view, 'shape', live.shape, 'build', live.build,
            'checkpoints', (
                select coalesce(json_agg(json_build_array(
                    point.generation, point.partition, point.position, point.updated_at
                )), '[]')
                from views.checkpoint point
                where point.view = live.view and point.shape = live.shape and point.build = live.build
            ),
            'parked', (
                select coalesce(json_object_agg(kept.partition_key, kept.position), '{}')
                from (
                    select parked.partition_key, parked.position
                    from consumers.parked parked
                    where parked.consumer = live.view and parked.shape = live.shape and parked.build = live.build
                    limit %(parked_max)s
                ) kept
            ),
            'parked_count', (
                select count(*) from consumers.parked parked
                where parked.consumer = live.view and parked.shape = live.shape and parked.build = live.build
            )
        )), '[]')
        from views.live live
    )
)::text
from log.head
"""
"""One snapshot of everything that answers depend on, as one JSON text."""


class Checkpoint(Struct, frozen=True, array_like=True):
    """One checkpoint row: every event of the partition up to `position` is applied, skipped or parked."""

    generation: int
    partition: int
    position: int
    updated_at: datetime | None = None


class Standing(Struct, frozen=True):
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
    """The build that answers for a view: its standing, when its checkpoints last moved, and its parked keys."""

    id: BuildId
    standing: Standing
    moved_at: datetime | None
    parked: dict[str, int]
    parked_count: int

    def may_be_parked(self, partition_key: str) -> bool:
        """Whether the key was parked when this was looked at; with more keys than a look lists, every key may be."""
        return partition_key in self.parked or self.parked_count > len(self.parked)


class Look(Struct, frozen=True):
    """What one look saw, and when it left (`seen_at`, seconds of the process's monotonic clock).

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


def covered(standing: Standing, published: Published | None) -> int:
    """The highest position such that every event up to it is in the build's rows."""
    return min(_effective(standing, published).values(), default=0)


def reached(token: PositionToken, standing: Standing, published: Published | None) -> bool:
    """Whether a build has everything that a token names.

    Only a build that stands in the token's generation is compared partition by partition; any other, so also that of a
    global view, must have everything up to the token's highest position.
    """
    if token.generation != standing.generation:
        return token.highest <= covered(standing, published)
    behind = {p: at for p, at in token.partitions.items() if standing.positions.get(p, -1) < at}
    if not behind:
        return True
    # A partition that stands at the last event published to it has everything that the relay has passed.
    effective = _effective(standing, published)
    return all(at <= effective.get(p, -1) for p, at in behind.items())


def applied(standing: Standing, look: Look) -> PositionToken:
    """A standing as the token that an answer carries; sent back as Min-Position, it asks for at least as much."""
    if standing.generation == WHOLE_LOG.generation:
        return applied_by_all([standing], look)
    return PositionToken(standing.epoch, standing.generation, standing.positions)


def applied_text(standing: Standing, look: Look, *, parked: tuple[int, int] | None = None) -> str:
    """The same as header text; `parked` is (partition, position) of the event at which the key that was read stands."""
    token = applied(standing, look)
    if parked is not None and parked[0] in token.partitions:
        partition, position = parked
        lowered = {**token.partitions, partition: min(token.partitions[partition], position - 1)}
        token = PositionToken(token.epoch, token.generation, lowered)
    return _text(token.epoch, token.generation, tuple(token.partitions.items()))


@functools.lru_cache(maxsize=TEXTS_KEPT_MAX)
def _text(epoch: int, generation: int, partitions: tuple[tuple[int, int], ...]) -> str:
    return PositionToken(epoch, generation, dict(partitions)).encode()


def applied_by_all(standings: list[Standing], look: Look) -> PositionToken:
    """The token of an answer made of several builds: what every one of them has."""
    # Callers know generations of the transport only: a position of the whole log is told as one of all partitions.
    generation = max(standing.generation for standing in standings) or max(look.partitions, default=0)
    count = look.partitions.get(generation, 0)
    common: dict[int, int] = {}
    for standing in standings:
        published = look.published.get(standing.generation)
        if standing.generation == generation:
            has = _effective(standing, published)
        else:
            has = dict.fromkeys(range(count), covered(standing, published))
        common = {p: min(at, has.get(p, 0)) for p, at in (common or has).items()}
    return PositionToken(standings[0].epoch, generation, common)


def standing_of(rows: list[Checkpoint], *, epoch: int) -> Standing | None:
    """A build's standing from its checkpoint rows; None when it has none.

    Rows of older generations stay behind as history: the newest generation's are created together, all at once.
    """
    if not rows:
        return None
    newest = max(row.generation for row in rows)
    return Standing(
        epoch=epoch,
        generation=newest,
        positions={row.partition: row.position for row in rows if row.generation == newest},
    )


def _effective(standing: Standing, published: Published | None) -> Mapping[int, int]:
    """Positions per partition, those at the end of what was published lifted to how far the relay came.

    `published` may be older than the standing: up to its position nothing more will ever come.
    """
    if published is None:
        return standing.positions
    return {
        p: max(at, published.position) if at >= published.last.get(p, at + 1) else at
        for p, at in standing.positions.items()
    }


class _SeenBuild(Struct, frozen=True):
    view: str
    shape: int
    build: int
    checkpoints: list[Checkpoint]
    parked: dict[str, int]
    parked_count: int


class _Seen(Struct, frozen=True):
    installation: str
    position: int
    epoch: int
    recorded_at: datetime
    epochs: list[tuple[int, int]]
    generations: list[tuple[int, int]]
    relays: list[tuple[int, int, list[tuple[int, int]]]]
    builds: list[_SeenBuild]


_decode = msgspec.json.Decoder(_Seen).decode


def read_look(answer: str, *, seen_at: float) -> Look:
    """A look from the JSON text that `LOOK` answers."""
    seen = _decode(answer)
    builds = (_live_build(build, epoch=seen.epoch) for build in seen.builds)
    return Look(
        seen_at=seen_at,
        installation=seen.installation,
        position=seen.position,
        epoch=seen.epoch,
        recorded_at=seen.recorded_at,
        first_positions=dict(seen.epochs),
        partitions=dict(seen.generations),
        published={generation: Published(position, dict(last)) for generation, position, last in seen.relays},
        builds={build.id.view: build for build in builds if build is not None},
    )


def _live_build(seen: _SeenBuild, *, epoch: int) -> LiveBuild | None:
    standing = standing_of(seen.checkpoints, epoch=epoch)
    if standing is None:
        return None
    moved = [row.updated_at for row in seen.checkpoints if row.updated_at is not None]
    return LiveBuild(
        id=BuildId(seen.view, seen.shape, seen.build),
        standing=standing,
        moved_at=max(moved, default=None),
        parked=seen.parked,
        parked_count=seen.parked_count,
    )
