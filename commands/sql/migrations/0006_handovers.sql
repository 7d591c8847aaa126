-- pre-deployment
-- What a sender hands over to somebody who cannot say later whether they took it, such as a mail server. A row is written
-- before, so that whoever goes on after a crash knows that it may have been taken.
create table consumers.handover (
    key bytea primary key,
    handovers integer not null check (handovers > 0),
    begun_at timestamptz not null default clock_timestamp()
);
comment on column consumers.handover.key is 'the key under which the answer is recorded in log.outcome';
comment on column consumers.handover.handovers is 'how often it was handed over without a known answer';

grant select, insert, update, delete on consumers.handover to counterfoil_writer;
grant select on consumers.handover to counterfoil_reader;
