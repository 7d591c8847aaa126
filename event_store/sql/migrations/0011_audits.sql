-- pre-deployment
-- What the audit that runs next to the sealer came to: of new events as they are sealed, and of the whole log, pass by pass.
create table seal.audit (
    part text primary key check (part in ('new', 'whole')),
    position bigint not null check (position >= 0),
    leaf bytea,
    ended_at timestamptz not null default clock_timestamp(),
    findings bigint not null default 0,
    finding text
) with (fillfactor = 50); -- room for HOT updates: no index follows these rows
comment on column seal.audit.position is 'of new: every event up to here was examined; of whole: where the last pass ended';
comment on column seal.audit.leaf is 'leaf of the log at this position, so that another history is noticed';
comment on column seal.audit.ended_at is 'when the last audit of this part ended in order; its age is what to alarm on';
comment on column seal.audit.finding is 'the first that is wrong; null: the last audit of this part ended in order';

grant select on seal.audit to counterfoil_sealer, counterfoil_reader;
grant insert, update on seal.audit to counterfoil_sealer;

-- Checkpoints of everybody are held against the log.
grant usage on schema transport, consumers to counterfoil_sealer;
grant select on all tables in schema transport to counterfoil_sealer;
grant select on all tables in schema consumers to counterfoil_sealer;
