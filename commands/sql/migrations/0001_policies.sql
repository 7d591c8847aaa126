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
    channel text not null,
    partition int not null,
    position bigint not null,
    leaf bytea,
    moved_at timestamptz not null default clock_timestamp(),
    primary key (name, generation, channel, partition)
) with (fillfactor = 50);

-- Triggers that cannot be decided until a person looks. The oldest of a partition key has the failure; the later ones
-- of the key wait behind it, in order. A request is carried out by the active worker, which then clears the row.
create table policy.parked (
    name text not null references policy.registration,
    partition_key text not null,
    position bigint not null,
    generation int not null,
    channel text not null,
    partition int not null,
    stream text not null,
    version bigint not null,
    type text not null,
    failure text, -- null: waits behind an older trigger of its key
    failures int not null default 0,
    parked_at timestamptz not null default clock_timestamp(),
    request text check (request in ('retry', 'skip')),
    requested_by text,
    requested_note text,
    requested_at timestamptz,
    primary key (name, partition_key, position)
);

create index parked_requested on policy.parked (requested_at) where request is not null;

-- Triggers that a person gave up: their outcome in the log is empty, and this says who did it and why.
create table policy.skip (
    name text not null references policy.registration,
    position bigint not null,
    partition_key text not null,
    type text not null,
    failure text,
    actor text not null,
    note text not null,
    skipped_at timestamptz not null default clock_timestamp(),
    primary key (name, position)
);

grant usage on schema policy to counterfoil_writer, counterfoil_reader;
grant select on all tables in schema policy to counterfoil_writer, counterfoil_reader;
grant insert, update on policy.checkpoint to counterfoil_writer;
grant insert, update, delete on policy.parked to counterfoil_writer;
grant insert on policy.skip to counterfoil_writer;
