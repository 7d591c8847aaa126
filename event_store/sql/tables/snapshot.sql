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
