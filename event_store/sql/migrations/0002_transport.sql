-- pre-deployment
-- What carrying events needs to remember: generations of topics, how far the relay came, and who is active.
--
-- A generation is one numbering of partitions over one carrier. Everything that depends on it (relay rows,
-- consumers' checkpoints, topic names) is keyed by it, so that a new one starts clean while the old one still exists.

create schema transport;

create table transport.generation (
    generation integer primary key check (generation > 0),
    partitions integer not null check (partitions between 1 and 1024),
    start_position bigint not null check (start_position > 0),
    -- Null until the first relay settles it; afterwards a change is a new generation.
    carrier text check (carrier in ('kafka', 'local')),
    reason text not null,
    started_at timestamptz not null default clock_timestamp()
);
comment on column transport.generation.start_position is 'first position carried in this generation';

create table transport.relay (
    generation integer primary key references transport.generation,
    position bigint not null,
    owner text,
    published_at timestamptz
) with (fillfactor = 50);
comment on column transport.relay.position is 'every event up to here is acknowledged by the carrier';

create table transport.relay_partition (
    generation integer not null references transport.generation,
    partition integer not null check (partition >= 0),
    position bigint not null,
    primary key (generation, partition)
) with (fillfactor = 50);
comment on column transport.relay_partition.position is 'last position published to this partition; start - 1 before the first';

-- The only way a generation begins: after the last event of the log, with all its rows, in the caller's transaction.
-- It holds the head lock, so whoever sees an event of the new generation also sees the generation: no consumer and no
-- relay of the old one reads past its end.
create function transport.begin_generation(_partitions integer, _carrier text, _reason text)
returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    _start bigint;
    _begun integer;
begin
    select head.position + 1 into strict _start from log.head for update;
    select coalesce(max(generation.generation), 0) + 1 into _begun from transport.generation;
    insert into transport.generation (generation, partitions, start_position, carrier, reason)
        values (_begun, _partitions, _start, _carrier, _reason);
    insert into transport.relay (generation, position) values (_begun, _start - 1);
    insert into transport.relay_partition (generation, partition, position)
        select _begun, numbered, _start - 1 from generate_series(0, _partitions - 1) as numbered;
    return _begun;
end
$$;

select transport.begin_generation(12, null, 'first');

create schema if not exists runtime;

create table runtime.lease (
    name text primary key,
    owner text,
    counter bigint not null default 0,
    renewed_at timestamptz not null default clock_timestamp()
) with (fillfactor = 50);
comment on column runtime.lease.owner is 'null: given back, anybody may take it at once';
comment on column runtime.lease.counter is 'grows with every renewal; a standby takes over when it has stood still';

grant usage on schema transport, runtime
    to counterfoil_relay, counterfoil_projector, counterfoil_writer, counterfoil_reader;
grant select on transport.generation, transport.relay, transport.relay_partition, runtime.lease
    to counterfoil_relay, counterfoil_projector, counterfoil_writer, counterfoil_reader;
grant update on transport.generation, transport.relay, transport.relay_partition to counterfoil_relay;
grant insert, update on runtime.lease to counterfoil_relay, counterfoil_projector, counterfoil_writer;

revoke execute on function transport.begin_generation(integer, text, text) from public;
grant execute on function transport.begin_generation(integer, text, text) to counterfoil_relay;
