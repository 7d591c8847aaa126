-- pre-deployment
-- What policies need to remember: since when they exist, how far they came, and which triggers wait for a person.
create schema policy;

-- One row for each policy. Events up to `registered_position` were there before it: they are not its concern.
create table policy.registration (
    name text primary key,
    registered_position bigint not null check (registered_position >= 0),
    registered_at timestamptz not null default clock_timestamp()
);

-- A policy begins at the head of the log at the moment of its migration, so nothing appended afterwards is skipped.
insert into policy.registration (name, registered_position)
select p.name, h.position from log.head h, (values ('fulfilment'), ('restock')) as p (name);

-- Every trigger of the partition at or below `position` has an outcome, or waits in policy.parked. `leaf` is the leaf of
-- the event at `position` (null before the first), so that a log that was cut off and written anew is noticed.
create table policy.checkpoint (
    name text not null references policy.registration,
    generation int not null,
    partition int not null,
    position bigint not null,
    leaf bytea,
    moved_at timestamptz not null default clock_timestamp(),
    primary key (name, generation, partition)
) with (fillfactor = 50);

-- Partition keys whose trigger at `position` cannot be decided until a person looks. Their later triggers, up to
-- `last_position`, wait in the log behind it, in order.
create table policy.parked (
    name text not null references policy.registration,
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
create table policy.request (
    request bigint generated always as identity primary key,
    kind text not null check (kind in ('retry', 'skip')),
    name text not null references policy.registration,
    partition_key text not null,
    position bigint not null,
    actor text not null,
    note text not null default '',
    requested_at timestamptz not null default clock_timestamp(),
    executed_at timestamptz,
    outcome text
);

create index request_pending on policy.request (request) where executed_at is null;

grant usage on schema policy to counterfoil_writer, counterfoil_reader, counterfoil_projector, counterfoil_relay;
grant select on all tables in schema policy
    to counterfoil_writer, counterfoil_reader, counterfoil_projector, counterfoil_relay;
grant insert, update on policy.checkpoint, policy.request to counterfoil_writer;
grant insert, update, delete on policy.parked to counterfoil_writer;
