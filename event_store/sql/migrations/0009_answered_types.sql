-- pre-deployment
-- Which types of events a consumer answers in the log, and since when: what an audit may expect an outcome for. A type that
-- a release adds is not expected to have been answered before. Consumers that are registered already note theirs when they
-- start next.
create table consumers.answered_type (
    consumer text not null references consumers.registration,
    type text not null,
    since_position bigint not null check (since_position >= 0),
    primary key (consumer, type)
);
comment on column consumers.answered_type.since_position is
    'every event of the type behind this position, up to the checkpoint, has an outcome, is parked or skipped';

grant select on consumers.answered_type
    to counterfoil_writer, counterfoil_projector, counterfoil_relay, counterfoil_reader;
grant insert on consumers.answered_type to counterfoil_writer;
