-- pre-deployment
-- What came of operators' acts. An act is an event; one row follows it, made by the consumer that carries it out, in the
-- transaction in which it does.

create table consumers.act (
    position bigint primary key,
    leaf bytea not null,
    kind text not null,
    subject text not null,
    shape integer,
    build integer,
    state text not null check (state in ('running', 'done', 'failed')),
    outcome text not null default '',
    begun_at timestamptz not null default clock_timestamp(),
    ended_at timestamptz
);
create index act_running on consumers.act (position) where state = 'running';
comment on column consumers.act.position is 'of the event that asks for it';
comment on column consumers.act.leaf is
    'of that event: another one there, and the log was cut off and written anew behind a restore';
comment on column consumers.act.subject is 'the view, or the consumer';
comment on column consumers.act.shape is 'shape and build that it is about; null where it is about none';

alter table consumers.request add column act bigint;
create index request_of_act on consumers.request (act) where act is not null;
comment on column consumers.request.act is 'position of the act that it belongs to';

grant select on consumers.act to counterfoil_writer, counterfoil_projector, counterfoil_relay, counterfoil_reader;
grant insert, update on consumers.act to counterfoil_projector;
