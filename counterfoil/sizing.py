"""`counterfoil status --size`: what takes which room in Postgres and Kafka, how it grows, and how long a disk will do.

Sizes of tables and their indexes are Postgres' own. How the room of the log is shared out among event types and stream
categories is estimated from samples of events, since counting a large log would read all of it.
"""

from datetime import datetime, timedelta
from typing import Any, Final

import psycopg
from msgspec import Struct

from counterfoil import disks
from event_store.transport.kafka_client import KafkaClient
from event_store.transport.kafka_topics import installation_prefix
from event_store.transport.transport import TransportUnavailable
from runtime import database

SAMPLES: Final = 20
"""Ranges of positions that are sampled, evenly spread over the log."""
EVENTS_PER_SAMPLE: Final = 500
GROWTH_DAYS: Final = 7
"""Days before the newest event whose growth is shown; less where the log is younger."""
GROWTH_DAYS_MIN: Final = 1 / 24
"""Less than an hour says nothing about a day."""
UNKNOWN_TO_CLIENT: Final = "confluent-kafka cannot ask for sizes; COUNTERFOIL_KAFKA_CLIENT=kafka-python can"
GIGABYTE: Final = 1_000_000_000

_RELATIONS: Final = """
select n.nspname, c.relname, pg_catalog.pg_total_relation_size(c.oid), pg_catalog.pg_indexes_size(c.oid)
from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where n.nspname !~ '^pg_' and n.nspname <> 'information_schema' and c.relkind in ('r', 'p')
order by 3 desc
"""
_HEAD: Final = """
select head.position, head.recorded_at, pg_catalog.pg_database_size(pg_catalog.current_database()),
    (select id::text from log.installation)
from log.head
"""
# Not a plain join: the planner takes each range for a ninth of the log, and would read all of it.
_SAMPLED: Final = """
select e.type, pg_catalog.split_part(e.stream, '-', 1), count(*), sum(e.bytes)
from pg_catalog.unnest(%(starts)s::bigint[]) as range (start)
cross join lateral (
    select s.type, s.stream, pg_catalog.pg_column_size(s.*) as bytes from log.event s
    where s.position >= range.start and s.position < range.start + %(each)s
    order by s.position limit %(each)s
) e
group by 1, 2
"""
_STREAMS: Final = """
select count(*) from log.event
where version = 1 and stream >= %(category)s || '-' and stream < %(category)s || '.'
"""
"""Every stream of a category, from the index of streams: '.' follows '-'."""
_RECORDED_AT: Final = "select recorded_at from log.event where position >= %s order by position limit 1"
_BUILDS: Final = "select view, shape, build from views.build"

Connection = psycopg.Connection[tuple[Any, ...]]


class Share(Struct, frozen=True):
    """What an event type or a stream category has of the log, estimated: events, and bytes with their indexes."""

    name: str
    events: int
    bytes: int


class Relation(Struct, frozen=True):
    """A table: bytes with indexes and overflow, and those of its indexes."""

    name: str
    bytes: int
    index_bytes: int


class TopicSize(Struct, frozen=True):
    """A topic of this installation: bytes on the disks of all brokers, replicas included."""

    name: str
    bytes: int


class Growth(Struct, frozen=True):
    """What was added in the last `days`, a day: events, and bytes at what an event has taken so far."""

    days: float
    events_a_day: float
    bytes_a_day: float


class Sizes(Struct, frozen=True):
    """Everything in bytes. `events`, `outcomes` and `tags` are the log's tables; `others` are all that are no views.

    `topics_unknown` says why Kafka's bytes are not known.
    """

    database: int
    position: int
    sampled_events: int
    events: int
    outcomes: int
    tags: int
    types: list[Share]
    categories: list[Share]
    views: list[Relation]
    others: list[Relation]
    growth: Growth | None
    topics: list[TopicSize]
    topics_unknown: str | None = None
    capacity: int | None = None
    days_until_full: float | None = None


def read(database_url: str, *, capacity_gb: float | None = None, kafka: KafkaClient | None = None) -> Sizes:
    """The sizes of a database, and of its topics where Kafka is used.

    With `capacity_gb` (1,000,000,000 bytes each), also when that will be full.


    Raises:
        psycopg.Error: the database cannot be reached, or was never migrated.
    """
    with database.connect(database_url, role="counterfoil_reader", name="status") as connection:
        position, recorded_at, whole, installation = connection.execute(_HEAD).fetchone() or (0, None, 0, "")
        tables = connection.execute(_RELATIONS).fetchall()
        views = {f"{view}_s{shape}_b{build}" for view, shape, build in connection.execute(_BUILDS).fetchall()}
        sampled = _sampled(connection, position)
        growth = _growth(connection, position, recorded_at, bytes_an_event=whole / max(1, position))
    of_log = {name: size for schema, name, size, _ in tables if schema == "log"}
    topics, topics_unknown = _topics(kafka, installation)
    capacity = None if capacity_gb is None else int(capacity_gb * GIGABYTE)
    return Sizes(
        database=whole,
        position=position,
        sampled_events=sum(count for _, _, count, _ in sampled),
        events=of_log["event"],
        outcomes=of_log["outcome"],
        tags=of_log["tag"],
        types=_shares(sampled, by=0, events=position, size=of_log["event"]),
        categories=_shares(sampled, by=1, events=position, size=of_log["event"]),
        views=[Relation(name, size, index) for schema, name, size, index in tables if name in views],
        others=[
            Relation(f"{schema}.{name}", size, index)
            for schema, name, size, index in tables
            if name not in views and (schema != "log" or name not in ("event", "outcome", "tag"))
        ],
        growth=growth,
        topics=topics,
        topics_unknown=topics_unknown,
        capacity=capacity,
        days_until_full=_days_until_full(capacity, whole, growth),
    )


class Each(Struct, frozen=True):
    """A database, shared out among the streams of one category: what an order takes, where orders are the load."""

    category: str
    streams: int
    events: float
    event_bytes: int
    outcome_bytes: int
    tag_bytes: int
    view_bytes: int


def each(database_url: str, sizes: Sizes, *, category: str) -> Each | None:
    """What each stream of a category takes of all events, outcomes, tags and views; None when there is none.

    Raises:
        psycopg.Error: the database cannot be reached, or was never migrated.
    """
    with database.connect(database_url, role="counterfoil_reader", name="status") as connection:
        (streams,) = connection.execute(_STREAMS, {"category": category}).fetchone() or (0,)
    if not streams:
        return None
    return Each(
        category,
        streams,
        events=sizes.position / streams,
        event_bytes=sizes.events // streams,
        outcome_bytes=sizes.outcomes // streams,
        tag_bytes=sizes.tags // streams,
        view_bytes=sum(view.bytes for view in sizes.views) // streams,
    )


def each_in_words(found: Each) -> str:
    """The same as a line for people."""
    parts = {
        "events": found.event_bytes,
        "outcomes": found.outcome_bytes,
        "tags": found.tag_bytes,
        "views": found.view_bytes,
    }
    listed = ", ".join(f"{name} {size / 1_000:.1f}" for name, size in parts.items())
    whole = sum(parts.values()) / 1_000
    return (
        f"each     of {found.streams:,} {found.category} streams: {found.events:.1f} events,"
        f" {whole:.1f} kB: {listed}"
    )


def days_for(database_url: str, *, free: int) -> float | None:
    """In how many days the database grows by so many bytes; None when it is too young to say.

    Raises:
        psycopg.Error: the database cannot be reached, or was never migrated.
    """
    with database.connect(database_url, role="counterfoil_reader", name="doctor") as connection:
        position, recorded_at, whole, _ = connection.execute(_HEAD).fetchone() or (0, None, 0, "")
        growth = _growth(connection, position, recorded_at, bytes_an_event=whole / max(1, position))
    return _days_until_full(free, 0, growth)


def lines(sizes: Sizes) -> list[str]:
    """The same for people."""
    shown = [f"database {_readable(sizes.database)}, {sizes.position:,} events"]
    for what, size in (("events", sizes.events), ("outcomes", sizes.outcomes), ("tags", sizes.tags)):
        shown.append(f"log      {what:<36} {_readable(size):>10}")
    for kind, shares in (("type", sizes.types), ("category", sizes.categories)):
        shown += [
            f"{kind:<8} {each.name:<36} {_readable(each.bytes):>10}  about {each.events:,} events"
            for each in shares
        ]
    shown += [
        f"{kind:<8} {each.name:<36} {_readable(each.bytes):>10}  {_readable(each.index_bytes)} of them indexes"
        for kind, relations in (("view", sizes.views), ("other", sizes.others))
        for each in relations
    ]
    shown += [f"topic    {each.name:<36} {_readable(each.bytes):>10}" for each in sizes.topics]
    if sizes.topics_unknown is not None:
        shown.append(f"topics   {sizes.topics_unknown}")
    shown.append(f"types and categories are estimated from {sizes.sampled_events:,} events")
    if sizes.growth is not None:
        growth = sizes.growth
        shown.append(
            f"growth   {growth.events_a_day:,.0f} events and {_readable(int(growth.bytes_a_day))} a day"
            f" over {growth.days:.1f} days"
        )
    if sizes.capacity is not None:
        days = sizes.days_until_full
        until = (
            "nobody knows when: events of an hour are needed"
            if days is None
            else f"in {days:,.0f} days at this rate"
        )
        shown.append(f"full     {_readable(sizes.capacity)} {until}")
    return shown


def _sampled(connection: Connection, position: int) -> list[tuple[str, str, int, int]]:
    """Type, category, events and bytes in samples; of a small log all of it."""
    if position <= SAMPLES * EVENTS_PER_SAMPLE:
        given: dict[str, Any] = {"starts": [1], "each": SAMPLES * EVENTS_PER_SAMPLE}
    else:
        step = (position - EVENTS_PER_SAMPLE) // (SAMPLES - 1)
        given = {"starts": [1 + number * step for number in range(SAMPLES)], "each": EVENTS_PER_SAMPLE}
    return [(str(t), str(c), int(n), int(b)) for t, c, n, b in connection.execute(_SAMPLED, given).fetchall()]


def _topics(kafka: KafkaClient | None, installation: str) -> tuple[list[TopicSize], str | None]:
    """What Kafka keeps of this installation, and why that is not known. The sizes of Postgres are shown anyway."""
    if kafka is None:
        return [], None
    try:
        found = disks.topic_bytes(kafka, prefix=f"{installation_prefix(installation)}.")
    except TransportUnavailable as error:
        return [], str(error)
    if found is None:
        return [], UNKNOWN_TO_CLIENT
    return [TopicSize(name, size) for name, size in sorted(found.items())], None


def _shares(sampled: list[tuple[str, str, int, int]], *, by: int, events: int, size: int) -> list[Share]:
    """A table's bytes, shared out as the samples are; largest first."""
    count = sum(each[2] for each in sampled) or 1
    weight = sum(each[3] for each in sampled) or 1
    found: dict[str, tuple[int, int]] = {}
    for each in sampled:
        name = str(each[by])
        before = found.get(name, (0, 0))
        found[name] = before[0] + each[2], before[1] + each[3]
    shares = [Share(name, events * n // count, size * b // weight) for name, (n, b) in found.items()]
    return sorted(shares, key=lambda share: (-share.bytes, share.name))


def _growth(
    connection: Connection, position: int, recorded_at: datetime, *, bytes_an_event: float
) -> Growth | None:
    """From the position that was the last one some days ago; recorded_at grows with the position."""
    if not position:
        return None
    since = recorded_at - timedelta(days=GROWTH_DAYS)
    low, high = 1, position  # the first position recorded after `since` is within
    while low < high:
        middle = (low + high) // 2
        at = _recorded_at(connection, middle)
        if at is None or at > since:
            high = middle
        else:
            low = middle + 1
    first = _recorded_at(connection, low)
    if first is None:  # a damaged log: events are missing at its end
        return None
    days = (recorded_at - first) / timedelta(days=1)
    if days < GROWTH_DAYS_MIN:
        return None
    events = (position - low + 1) / days
    return Growth(days, events_a_day=events, bytes_a_day=events * bytes_an_event)


def _recorded_at(connection: Connection, position: int) -> datetime | None:
    row = connection.execute(_RECORDED_AT, [position]).fetchone()
    at: datetime | None = row[0] if row else None
    return at


def _days_until_full(capacity: int | None, size: int, growth: Growth | None) -> float | None:
    if capacity is None or growth is None or growth.bytes_a_day <= 0:
        return None
    return max(0.0, (capacity - size) / growth.bytes_a_day)


def _readable(size: int) -> str:
    if size < 1_000_000:
        return f"{size / 1_000:,.0f} kB"
    return f"{size / 1_000_000:,.1f} MB" if size < GIGABYTE else f"{size / GIGABYTE:,.2f} GB"
