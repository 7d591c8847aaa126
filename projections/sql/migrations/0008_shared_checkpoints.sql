-- pre-deployment
-- Builds that one worker feeds stand at the same position nearly always: one row for each partition moves then, and not
-- one for each build. A build that stands elsewhere has its position in a row of its own.
--
-- Who reads asks `views.checkpoint`, as before. Nobody writes there any more: a worker of an earlier release is refused,
-- and waits, until one of this release takes its place.

alter table views.checkpoint rename to build_checkpoint;
alter index views.checkpoint_pkey rename to build_checkpoint_pkey;

create table views.shared_checkpoint (
    name text collate "C" not null,
    generation integer not null check (generation >= 0),
    partition integer not null check (partition >= 0),
    position bigint not null default 0 check (position >= 0),
    leaf bytea,
    revision bigint not null default 0,
    updated_at timestamptz not null default clock_timestamp(),
    primary key (name, generation, partition)
) with (fillfactor = 10); -- room for HOT updates, and few rows: workers that own other partitions seldom meet on a page
comment on table views.shared_checkpoint is 'where the builds stand that a worker feeds together';
comment on column views.shared_checkpoint.name is 'of the workers between which partitions change hands';
comment on column views.shared_checkpoint.revision is
    'grows with every move, and when a build joins or leaves: who moves the row knows all builds that it moves';

alter table views.build_checkpoint
    add column shared text collate "C",
    add foreign key (shared, generation, partition) references views.shared_checkpoint (name, generation, partition);
comment on column views.build_checkpoint.shared is
    'the shared checkpoint at which the build stands; null: it stands at the position of this row';
comment on column views.build_checkpoint.position is
    'every event of the partition up to here is applied, skipped or parked; not kept while the checkpoint is shared';

create view views.checkpoint as
select c.view, c.shape, c.build, c.generation, c.partition,
    case when s.name is null then c.position else s.position end as position,
    case when s.name is null then c.leaf else s.leaf end as leaf,
    c.revision, c.shared, greatest(c.updated_at, s.updated_at) as updated_at
from views.build_checkpoint c
left join views.shared_checkpoint s
    on s.name = c.shared and s.generation = c.generation and s.partition = c.partition;
comment on view views.checkpoint is 'where each build stands';

grant select, insert, update, delete on views.shared_checkpoint to counterfoil_projector;
grant select on views.shared_checkpoint to counterfoil_reader, counterfoil_writer, counterfoil_relay, counterfoil_sealer;
grant select on views.checkpoint
    to counterfoil_projector, counterfoil_reader, counterfoil_writer, counterfoil_relay, counterfoil_sealer;
