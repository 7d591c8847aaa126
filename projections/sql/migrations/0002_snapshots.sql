-- pre-deployment
-- States of long streams at some version, so that nobody has to fold them from their first event. Each can be taken again
-- from the log and is used only while the log has that leaf at that version, so it is no part of the truth.

create table views.snapshot (
    stream text primary key,
    version bigint not null,
    position bigint not null,
    partition_key text not null,
    leaf bytea not null,
    declaration bytea not null,
    state json not null,
    taken_at timestamptz not null default clock_timestamp()
);
comment on column views.snapshot.leaf is 'leaf of the log at this position: another one there, and the snapshot is void';
comment on column views.snapshot.declaration is
    'digest of the declaration of the state: another one in the program, and the snapshot is void';

create table views.snapshot_progress (
    only_row boolean primary key default true check (only_row),
    position bigint not null,
    leaf bytea
);
comment on table views.snapshot_progress is 'up to where the log was looked through for streams that are due';
insert into views.snapshot_progress (position) values (0);

grant select, insert, update, delete on views.snapshot, views.snapshot_progress to counterfoil_projector;
grant select on views.snapshot, views.snapshot_progress to counterfoil_reader, counterfoil_writer, counterfoil_relay;
