"""Manipulations of what surrounds events: columns that no leaf covers, values that no event has, the database."""

from typing import Final

from tests.tampering.tampering import Manipulation, Tampering

_ROW: Final = "position, version, recorded_at, stream, type, partition_key, leaf, metadata"


def partition_key(on: Tampering) -> None:
    on.sql(
        "update log.event set partition_key = 'order-elsewhere' where position = {at}",
        at=on.pick("partition_key is null"),
    )


def empty_partition_key(on: Tampering) -> None:
    on.sql(
        "update log.event set partition_key = '' where position = {at}", at=on.pick("partition_key is null")
    )


def unknown_version(on: Tampering) -> None:
    on.sql(
        "update log.event set type = 'inventory.stock_received.v9' where position = {at}",
        at=on.pick("type = 'inventory.stock_received.v1'"),
    )


def time_of_head(on: Tampering) -> None:
    on.sql(
        "update log.head set recorded_at = recorded_at + interval '{days} days'", days=on.chance.randint(1, 9)
    )


def time_without_end(on: Tampering) -> None:
    on.leaves = False
    on.sql("update log.event set recorded_at = 'infinity' where position = {at}", at=on.pick())


def no_payload(on: Tampering) -> None:
    on.leaves = False
    on.sql("alter table log.event alter column payload drop not null")
    on.sql("update log.event set payload = null where position = {at}", at=on.pick())


def no_fingerprint(on: Tampering) -> None:
    on.sql("alter table log.outcome alter column fingerprint drop not null")
    on.sql(
        "update log.outcome set fingerprint = null where first_position = {at}",
        at=on.pick("metadata::text like '%\"fingerprint\":%'"),
    )


def two_at_one_position(on: Tampering) -> None:
    on.sql("alter table log.event drop constraint event_pkey")
    on.sql("alter table log.event drop constraint event_stream_version_key")
    on.sql(
        f"insert into log.event ({_ROW}, payload) select {_ROW}, (payload::text || ' ')::json"
        " from log.event where position = {at}",
        at=on.pick(),
    )


AROUND: Final = (
    Manipulation("a partition key", True, False, partition_key),
    Manipulation("an empty partition key", True, False, empty_partition_key),
    Manipulation("a type of a version that no release has", True, True, unknown_version),
    Manipulation("the time of the head", True, False, time_of_head),
    Manipulation("the time of an event is infinite", True, True, time_without_end),
    Manipulation("the payload of an event is null", True, True, no_payload),
    Manipulation("the fingerprint of an outcome is null", True, True, no_fingerprint),
    Manipulation("two events at one position", True, True, two_at_one_position),
)
