-- pre-deployment
-- What views need to remember: their builds, which one answers, how far each came, what is parked, what was asked.
--
-- A build is one table of rows, `<view>_s<shape>_b<build>`, made by the projector from the row type. Its rows and its
-- checkpoints are written in one transaction, so a crash takes back both or neither.

create schema views;

create table views.build (
    view text not null,
    shape integer not null check (shape > 0),
    build integer not null check (build > 0),
    state text not null check (state in ('folding', 'following')),
    folded_to bigint not null default 0,
    fold_to bigint not null default 0,
    revision bigint not null default 0,
    stopped text,
    created_at timestamptz not null default clock_timestamp(),
    primary key (view, shape, build)
) with (fillfactor = 50);
comment on column views.build.state is
    'folding: a rebuild reads the log up to fold_to; following: workers feed it partition by partition';
comment on column views.build.folded_to is 'while folding: every event up to here is in the rows';
comment on column views.build.stopped is 'why workers no longer feed it; null: they do';

create table views.live (
    view text primary key,
    shape integer not null,
    build integer not null,
    previous_shape integer,
    previous_build integer,
    moved_at timestamptz not null default clock_timestamp(),
    foreign key (view, shape, build) references views.build
);
comment on table views.live is 'the build that answers queries; previous: where a roll back goes';

create table views.checkpoint (
    view text not null,
    shape integer not null,
    build integer not null,
    generation integer not null check (generation >= 0),
    partition integer not null check (partition >= 0),
    position bigint not null check (position >= 0),
    leaf bytea,
    revision bigint not null default 0,
    updated_at timestamptz not null default clock_timestamp(),
    primary key (view, shape, build, generation, partition),
    foreign key (view, shape, build) references views.build on delete cascade
) with (fillfactor = 30); -- room for HOT updates: every batch moves these rows, no index follows them
comment on column views.checkpoint.generation is
    'which numbering of partitions; 0: the whole log as one partition, for views that sum over many keys';
comment on column views.checkpoint.position is
    'every event of the partition up to here is applied, skipped or parked';
comment on column views.checkpoint.leaf is 'leaf of the log at this position; null before the first event';
comment on column views.checkpoint.revision is
    'grows with every write to the rows of this partition, also when the position stays';

create table views.parked (
    view text not null,
    shape integer not null,
    build integer not null,
    partition_key text not null,
    position bigint not null,
    stream text not null,
    version bigint not null,
    type text not null,
    reason text not null,
    tries integer not null,
    queued bigint not null default 0,
    parked_at timestamptz not null default clock_timestamp(),
    primary key (view, shape, build, partition_key),
    foreign key (view, shape, build) references views.build on delete cascade
);
comment on table views.parked is
    'keys whose event at position failed; their later events wait in the log, in order';
comment on column views.parked.queued is 'later events of the key that wait behind it';

create table views.request (
    request bigint generated always as identity primary key,
    kind text not null check (kind in ('retry', 'skip')),
    view text not null,
    shape integer not null,
    partition_key text not null,
    position bigint not null,
    actor text not null,
    requested_at timestamptz not null default clock_timestamp(),
    executed_at timestamptz,
    outcome text
);
create index request_pending on views.request (request) where executed_at is null;
comment on table views.request is 'asked of the owner of a parked key, who acts between two batches';

-- Builds' tables belong to the projector, which makes and drops them; readers read, nobody else writes.
grant usage, create on schema views to counterfoil_projector;
grant usage on schema views to counterfoil_reader, counterfoil_writer, counterfoil_relay;
grant select, insert, update, delete
    on views.build, views.live, views.checkpoint, views.parked, views.request to counterfoil_projector;
grant select
    on views.build, views.live, views.checkpoint, views.parked, views.request
    to counterfoil_reader, counterfoil_writer, counterfoil_relay;
