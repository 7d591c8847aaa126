-- pre-deployment
-- What consumers of the log need to remember: since when they exist, how far each came, which keys are parked, and what
-- operators requested about those. Rows of views and their checkpoints stay together in schema views.
create schema consumers;

-- One row for each consumer, made when it first starts. Events up to `registered_position` are not its concern; nothing
-- appended afterwards is skipped.
create table consumers.registration (
    consumer text primary key,
    registered_position bigint not null check (registered_position >= 0),
    registered_at timestamptz not null default clock_timestamp()
);

create table consumers.checkpoint (
    consumer text not null references consumers.registration,
    generation integer not null default 0 check (generation >= 0),
    partition integer not null default 0 check (partition >= 0),
    position bigint not null check (position >= 0),
    leaf bytea,
    moved_at timestamptz not null default clock_timestamp(),
    primary key (consumer, generation, partition)
) with (fillfactor = 50); -- room for HOT updates: every batch moves these rows, no index follows them
comment on column consumers.checkpoint.generation is
    'which numbering of partitions; 0: the whole log as one partition, for consumers that tail the log itself';
comment on column consumers.checkpoint.position is
    'every event of the partition up to here is handled, skipped or parked';
comment on column consumers.checkpoint.leaf is
    'leaf of the log at this position, so that a log that was cut off and written anew is noticed; null before the first event';

create table consumers.parked (
    consumer text not null,
    shape integer not null default 0 check (shape >= 0),
    build integer not null default 0 check (build >= 0),
    partition_key text not null,
    position bigint not null,
    stream text not null,
    version bigint not null,
    type text not null,
    reason text not null,
    tries integer not null default 1,
    queued bigint not null default 0,
    last_position bigint not null,
    parked_at timestamptz not null default clock_timestamp(),
    primary key (consumer, shape, build, partition_key)
);
comment on table consumers.parked is
    'keys whose event at position failed; their later events, up to last_position, wait in the log, in order';
comment on column consumers.parked.shape is 'shape and build of a view; 0 for other consumers';
comment on column consumers.parked.queued is 'later events of the key that wait behind it';

create table consumers.request (
    request bigint generated always as identity primary key,
    kind text not null check (kind in ('retry', 'skip')),
    consumer text not null,
    shape integer not null default 0,
    partition_key text not null,
    position bigint not null,
    actor text not null,
    note text not null default '',
    requested_at timestamptz not null default clock_timestamp(),
    executed_at timestamptz,
    outcome text
);
create index request_pending on consumers.request (request) where executed_at is null;
comment on table consumers.request is
    'requests of operators to the owner of a parked key, who acts between two batches and notes the outcome';

-- Tables that declared consumers write, made by the worker from the declaration.
create schema consumer_tables;

grant usage on schema consumers
    to counterfoil_writer, counterfoil_projector, counterfoil_relay, counterfoil_reader;
grant select on all tables in schema consumers
    to counterfoil_writer, counterfoil_projector, counterfoil_relay, counterfoil_reader;
grant insert on consumers.registration to counterfoil_writer, counterfoil_projector;
grant insert, update on consumers.checkpoint, consumers.request to counterfoil_writer, counterfoil_projector;
grant insert, update, delete on consumers.parked to counterfoil_writer, counterfoil_projector;
grant usage, create on schema consumer_tables to counterfoil_writer;
grant usage on schema consumer_tables to counterfoil_projector, counterfoil_relay, counterfoil_reader;
