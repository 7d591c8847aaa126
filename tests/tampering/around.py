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


_REPLACED: Final = """
do $do$ begin
    execute replace(
        pg_get_functiondef('log.append_batch'::regproc),
        'greatest(clock_timestamp(),', 'greatest(clock_timestamp() - interval ''{days} days'','
    );
end $do$
"""
_TRIGGER: Final = """
create function public.forge() returns trigger language plpgsql as $$ begin return new; end $$;
create trigger forge before insert on log.event for each row execute function public.forge()
"""
_HIDDEN: Final = """
alter table log.event enable row level security;
create policy hiding on log.event using (
    position <> {at} or current_setting('application_name') in ('counterfoil audit', 'counterfoil test')
)
"""
_FURTHER_ROWS: Final = """
create table public.more (pad text) inherits (log.tag);
insert into public.more (tag, type, position, pad)
select 'order:' || 5000 + x, type, position, repeat('x', 200)
from log.event, generate_series(1, 1000) x where position = {at};
delete from public.more where tag <> (select max(m.tag) from public.more m);
grant select on public.more to public
"""
_OPERATOR: Final = """
create schema forged;
grant usage on schema forged to public;
create function forged.differ(bytea, bytea) returns boolean language sql as 'select false';
create operator forged.<> (function = forged.differ, leftarg = bytea, rightarg = bytea);
do $do$ begin
    execute format('alter database %I set search_path = forged, pg_catalog', current_database());
end $do$
"""


def appending_replaced(on: Tampering) -> None:
    on.sql(_REPLACED, days=on.chance.randint(1, 9))


def trigger_added(on: Tampering) -> None:
    on.sql(_TRIGGER)


def hidden_from_others(on: Tampering) -> None:
    """The audit sees what happened, and all others see something else."""
    on.sql(_HIDDEN, at=on.pick())


def view_in_place(on: Tampering) -> None:
    on.sql(
        "alter table log.outcome rename to hidden; create view log.outcome as select * from log.hidden;"
        " grant select on log.outcome to public"
    )


def tag_inherited(on: Tampering) -> None:
    """In a table that Postgres reads together with that of the tags, behind where that one ends."""
    on.sql(_FURTHER_ROWS, at=on.pick())


def right_granted(on: Tampering) -> None:
    on.sql("grant update (payload) on log.event to counterfoil_writer")


def operator_replaced(on: Tampering) -> None:
    """A comparison of the audit finds no difference any more."""
    on.sql(_OPERATOR)


def migration_changed(on: Tampering) -> None:
    on.sql("update counterfoil.migration set digest = '' where name = '0013_append_batch.sql'")


AROUND: Final = (
    Manipulation("a partition key", True, False, partition_key),
    Manipulation("an empty partition key", True, False, empty_partition_key),
    Manipulation("a type of a version that no release has", True, True, unknown_version),
    Manipulation("the time of the head", True, False, time_of_head),
    Manipulation("the time of an event is infinite", True, True, time_without_end),
    Manipulation("the payload of an event is null", True, True, no_payload),
    Manipulation("the fingerprint of an outcome is null", True, True, no_fingerprint),
    Manipulation("two events at one position", True, True, two_at_one_position),
    Manipulation("the function that appends is replaced", True, False, appending_replaced),
    Manipulation("a trigger is added to the log", True, False, trigger_added),
    Manipulation("an event is hidden from all but the audit", True, False, hidden_from_others),
    Manipulation("a view takes the place of a table", True, False, view_in_place),
    Manipulation("a false tag in a table that inherits from the tags", True, True, tag_inherited),
    Manipulation("a role gets the right to change events", True, False, right_granted),
    Manipulation("an operator of Postgres is replaced by search_path", True, False, operator_replaced),
    Manipulation("the digest of a migration", True, False, migration_changed),
)
