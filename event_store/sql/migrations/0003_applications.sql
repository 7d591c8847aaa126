-- pre-deployment
-- What applications of the `eventsourcing` library need beside the log itself.

-- Events of one application in order. Only their streams begin with anything but a lower-case letter, so the shop's own
-- events, whose streams do, pay nothing for this index. Queries repeat both expressions as they stand here.
create index event_application on log.event ((split_part(stream, '-', 1) collate "C"), position)
    where stream collate "C" < 'a';

create schema application;

-- Snapshots of the aggregates of applications that use the `eventsourcing` library. They can be taken again from the log
-- at any time, so they are no part of it: nothing here has a position or a leaf.
create table application.snapshot (
    application text not null,
    purpose text not null, -- what the library asks a recorder for: 'snapshots'
    originator_id text not null,
    version bigint not null,
    topic text not null,
    state bytea not null,
    primary key (application, purpose, originator_id, version)
);

-- Snapshots are the business of the applications that take them.
revoke all on schema application from public;
grant usage on schema application to counterfoil_writer, counterfoil_reader;
grant select, insert on application.snapshot to counterfoil_writer;
grant select on application.snapshot to counterfoil_reader;
