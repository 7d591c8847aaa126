-- pre-deployment
-- What both APIs have to say to security streams. They may insert rows and nothing else; the consumer `security` appends
-- them to the log and removes them.
create schema security;

-- One row for each kind, actor, route, code and minute, as one process counted it. The rows of a batch were inserted
-- together; the log remembers the batch, so a row that is read twice counts once.
create table security.pending (
    batch uuid not null,
    number integer not null,
    kind text not null,
    actor text not null,
    process text not null,
    route text not null,
    code text not null,
    detail text not null,
    correlation_id text not null,
    since timestamptz not null,
    count bigint not null check (count > 0),
    inserted_at timestamptz not null default clock_timestamp(),
    primary key (batch, number)
);
comment on column security.pending.actor is 'whom it is about: a caller, or the account that somebody tried to log in as';
comment on column security.pending.since is 'the minute that was counted, or when it was asked for';
create index security_pending_order on security.pending (inserted_at);

revoke all on schema security from public;
grant usage on schema security to counterfoil_recorder, counterfoil_writer, counterfoil_reader;
grant insert on security.pending to counterfoil_recorder;
grant select, delete on security.pending to counterfoil_writer;
grant select on security.pending to counterfoil_reader;

-- Consumers and views that operators paused, each by an act; no row: it works.
create table consumers.paused (
    consumer text primary key,
    act bigint not null,
    paused_at timestamptz not null default clock_timestamp()
);
comment on column consumers.paused.act is 'position of the act that asked for it';

grant select on consumers.paused
    to counterfoil_writer, counterfoil_projector, counterfoil_relay, counterfoil_sealer, counterfoil_reader;
grant insert, delete on consumers.paused to counterfoil_projector;
