"""Where everybody stands: the log's head, relay, live views, process managers and consumers, in one statement.

A consumer's position is the highest P with every event up to P applied, skipped or parked. A partition that stands at
the relay's last position for it has nothing before the relay's own position, so it counts as that. Global views,
process managers and consumers of the log stand where their checkpoint of the log does.
"""

import datetime as dt
from typing import Final

import msgspec
from msgspec import Struct

READ_STATUS: Final = """
with point as (
    select c.view as name, c.generation, c.partition, c.position
    from views.live l join views.checkpoint c on c.view = l.view and c.shape = l.shape and c.build = l.build
),
newest as (
    select name, max(generation) as generation from point group by name
),
reached as (
    select p.name,
        min(case when p.position >= last.position then relay.position else p.position end) as position
    from newest n
    join point p on p.name = n.name and p.generation = n.generation
    left join transport.relay relay on relay.generation = p.generation
    left join transport.relay_partition last
        on last.generation = p.generation and last.partition = p.partition
    group by p.name
),
consumer as (
    select 'view' as kind, l.view as name, l.shape, l.build, coalesce(r.position, 0) as position,
        b.stopped,
        (select count(*) from consumers.parked k
            where k.consumer = l.view and k.shape = l.shape and k.build = l.build) as parked
    from views.live l
    join views.build b on b.view = l.view and b.shape = l.shape and b.build = l.build
    left join reached r on r.name = l.view
    union all
    select g.kind, c.consumer, null, null, c.position, null,
        (select count(*) from consumers.parked k where k.consumer = c.consumer)
    from consumers.registration g
    join consumers.checkpoint c on c.consumer = g.consumer and c.generation = 0
),
checkpoints as (
    select c.*, head.position - c.position as lag_events,
        coalesce(extract(epoch from clock_timestamp() - next.recorded_at)::float8, 0) as lag_seconds
    from log.head head
    cross join consumer c
    left join log.event next on next.position = c.position + 1
)
select json_build_object(
    'log', (
        select json_build_object(
            'installation', (select id from log.installation), 'position', position, 'epoch', epoch
        ) from log.head
    ),
    'relay', (
        select json_build_object(
            'position', relay.position, 'lag_events', head.position - relay.position,
            'generation', generation.generation, 'carrier', generation.carrier
        )
        from log.head head, transport.relay relay
        join transport.generation generation on generation.generation = relay.generation
        order by relay.generation desc limit 1
    ),
    'views', (
        select coalesce(json_agg(json_build_object(
            'name', name, 'shape', shape, 'build', build, 'position', position, 'lag_events', lag_events,
            'lag_seconds', lag_seconds, 'parked', parked, 'stopped', stopped
        ) order by name), '[]') from checkpoints where kind = 'view'
    ),
    'process_managers', (
        select coalesce(json_agg(json_build_object(
            'name', name, 'position', position, 'lag_events', lag_events, 'lag_seconds', lag_seconds, 'parked', parked
        ) order by name), '[]') from checkpoints where kind = 'process'
    ),
    'consumers', (
        select coalesce(json_agg(json_build_object(
            'name', name, 'position', position, 'lag_events', lag_events, 'lag_seconds', lag_seconds, 'parked', parked
        ) order by name), '[]') from checkpoints where kind = 'consumer'
    ),
    'paused', (
        select coalesce(json_agg(json_build_object('name', consumer, 'act', act, 'paused_at', paused_at)
            order by consumer), '[]') from consumers.paused
    )
)::text
"""
"""Answers one row with one JSON text, the shape of `Status`."""


class LogHead(Struct, frozen=True):
    """The installation whose log it is, its last position and its epoch."""

    installation: str
    position: int
    epoch: int


class RelayStanding(Struct, frozen=True):
    """How far the newest generation's relay came."""

    position: int
    lag_events: int
    generation: int
    carrier: str | None


class ViewStanding(Struct, frozen=True):
    """One live view; `stopped` says why workers no longer feed it, `parked` counts keys."""

    name: str
    shape: int
    build: int
    position: int
    lag_events: int
    lag_seconds: float
    parked: int
    stopped: str | None


class ProcessStanding(Struct, frozen=True):
    """One process manager; `parked` counts keys."""

    name: str
    position: int
    lag_events: int
    lag_seconds: float
    parked: int


class ConsumerStanding(Struct, frozen=True):
    """One consumer of the whole log; `parked` counts keys."""

    name: str
    position: int
    lag_events: int
    lag_seconds: float
    parked: int


class PausedConsumer(Struct, frozen=True):
    """A consumer, a process manager or a view that an operator paused, by the act at that position."""

    name: str
    act: int
    paused_at: dt.datetime


class Status(Struct, frozen=True):
    """Everybody, in one snapshot."""

    log: LogHead
    relay: RelayStanding
    views: tuple[ViewStanding, ...]
    process_managers: tuple[ProcessStanding, ...]
    consumers: tuple[ConsumerStanding, ...]
    paused: tuple[PausedConsumer, ...]

    @property
    def all_consumers(self) -> tuple[ViewStanding | ProcessStanding | ConsumerStanding, ...]:
        """Everybody who follows the log."""
        return (*self.views, *self.process_managers, *self.consumers)


decode_status = msgspec.json.Decoder(Status).decode
"""The text that `READ_STATUS` answers as a value."""
