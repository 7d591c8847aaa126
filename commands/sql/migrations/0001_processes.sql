-- pre-deployment
-- What process managers need to remember: since when they exist, how far they came, and which triggers are parked.
create schema process;

-- One row for each process, made when it is first declared at start. Events up to `registered_position` are not its
-- concern; nothing appended afterwards is skipped.
create table process.registration (
    name text primary key,
    registered_position bigint not null check (registered_position >= 0),
    registered_at timestamptz not null default clock_timestamp()
);

-- Every trigger of the partition at or below `position` has an outcome, or waits in process.parked. `leaf` is the leaf of
-- the event at `position` (null before the first), so that a log that was cut off and written anew is noticed.
create table process.checkpoint (
    name text not null references process.registration,
    generation int not null,
    partition int not null,
    position bigint not null,
    leaf bytea,
    moved_at timestamptz not null default clock_timestamp(),
    primary key (name, generation, partition)
) with (fillfactor = 50);

-- Partition keys whose trigger at `position` cannot be decided until a person looks. Their later triggers, up to
-- `last_position`, wait in the log behind it, in order.
create table process.parked (
    name text not null references process.registration,
    partition_key text not null,
    partition int not null,
    position bigint not null,
    stream text not null,
    version bigint not null,
    type text not null,
    reason text not null,
    tries int not null default 1,
    queued bigint not null default 0,
    last_position bigint not null,
    parked_at timestamptz not null default clock_timestamp(),
    primary key (name, partition_key)
);

-- What a person asked of the active worker, who acts between two decisions and says what came of it.
create table process.request (
    request bigint generated always as identity primary key,
    kind text not null check (kind in ('retry', 'skip')),
    name text not null references process.registration,
    partition_key text not null,
    position bigint not null,
    actor text not null,
    note text not null default '',
    requested_at timestamptz not null default clock_timestamp(),
    executed_at timestamptz,
    outcome text
);

create index request_pending on process.request (request) where executed_at is null;

grant usage on schema process to counterfoil_writer, counterfoil_reader, counterfoil_projector, counterfoil_relay;
grant select on all tables in schema process
    to counterfoil_writer, counterfoil_reader, counterfoil_projector, counterfoil_relay;
grant insert on process.registration to counterfoil_writer;
grant insert, update on process.checkpoint, process.request to counterfoil_writer;
grant insert, update, delete on process.parked to counterfoil_writer;
