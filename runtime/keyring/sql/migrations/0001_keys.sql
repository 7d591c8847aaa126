-- pre-deployment
-- Data keys: one for each subject whose personal data is sealed. They are in a database of their own, whose backups are
-- kept for a short time, so that a key that is deleted here is soon nowhere.
create schema keys;

-- `wrapped` is the key under a master key that is in no database. A row is written before the first event that is sealed
-- under it.
create table keys.subject (
    subject text primary key,
    key_id text not null unique,
    master text not null,
    wrapped bytea not null,
    made_at timestamptz not null default clock_timestamp()
);
comment on column keys.subject.subject is 'the stream that the subject is first recorded in';
create index subject_by_master on keys.subject (master);

-- The key of keyed hashes, by which personal data is looked up. It is the same for ever: another one would find nothing.
create table keys.lookup (
    single boolean primary key default true check (single),
    master text not null,
    wrapped bytea not null
);

revoke all on schema keys from public;
grant usage on schema keys to counterfoil_keys, counterfoil_revealer;
grant select, insert, update, delete on keys.subject to counterfoil_keys;
grant select, insert, update on keys.lookup to counterfoil_keys;
grant select on keys.subject, keys.lookup to counterfoil_revealer;
