-- pre-deployment
-- The log: head, epochs, installation, events, tags, outcomes, tracking, and the one function that writes them.
create schema log;

-- What nobody but its user may know. Apart from the log, where whoever reads one table reads all.
create schema secret;

-- The head of the log: its last position, its epoch and its newest timestamp. The only lock in the system.
create table log.head (
    only_row boolean primary key default true check (only_row),
    position bigint not null,
    epoch bigint not null,
    recorded_at timestamptz not null
) with (fillfactor = 10); -- room for HOT updates: every batch writes this row, no index follows it

insert into log.head (position, epoch, recorded_at) values (0, 1, '1970-01-01T00:00:00Z');

-- One row for each life of the log: the first at its creation, another after each promotion or restore.
create table log.epoch (
    epoch bigint primary key,
    first_position bigint not null,
    started_at timestamptz not null,
    reason text not null
);

insert into log.epoch (epoch, first_position, started_at, reason) values (1, 1, clock_timestamp(), 'created');

-- Which installation this is. Topics, consumer groups, cache keys and what is sent to others carry its id, so that two
-- installations never meet on one Kafka or one Redis. A restored copy keeps it; a copy that lives beside the original
-- gets its own (`counterfoil log fence --new-installation`).
create table log.installation (
    only_row boolean primary key default true check (only_row),
    id uuid not null,
    began_at timestamptz not null
);

insert into log.installation (id, began_at) values (gen_random_uuid(), clock_timestamp());

-- The log itself. Positions are gap-free from 1, versions dense per stream. Payload and metadata are `json`, not
-- `jsonb`: the type keeps the bytes as they were sent, and the leaf is a hash over those bytes.
create table log.event (
    position bigint primary key,
    version bigint not null,
    recorded_at timestamptz not null,
    stream text not null,
    type text not null,
    partition_key text,
    leaf bytea not null,
    metadata json not null,
    payload json not null,
    constraint event_stream_version_key unique (stream, version)
);

-- Events that belong to another stream's partition; null, the rule, costs nothing.
create index event_partition_key on log.event (partition_key, position) where partition_key is not null;

-- Tags of the events that declare any: append conditions are answered from this index alone.
create table log.tag (
    tag text not null,
    type text not null,
    position bigint not null references log.event (position),
    primary key (tag, type, position)
);

-- What became of each accepted request, for ever. No answer is stored: an answer is a pure function of the route and of
-- these numbers, so a replay renders it again.
create table log.outcome (
    key bytea primary key check (octet_length(key) = 16),
    fingerprint bytea not null check (octet_length(fingerprint) = 32),
    first_position bigint not null,
    last_position bigint not null,
    versions bigint[] not null
);

-- The secret under which fingerprints are made (HMAC-SHA-256), for ever: another one would take every repeated request
-- for a mistake. 366 random bits, hashed to 32 bytes. Only those who append may read it.
create table secret.fingerprint (
    only_row boolean primary key default true check (only_row),
    key bytea not null check (octet_length(key) = 32)
);

insert into secret.fingerprint (key)
values (sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())));

-- How far a consumer has processed an application's events, moved in the append that stores what came of them.
create table log.tracking (
    consumer text not null,
    application text not null,
    position bigint not null,
    primary key (consumer, application)
);

-- include: ../functions/types_tagged.sql

-- include: ../functions/first_tagged.sql

-- include: ../functions/append_batch.sql

-- The writer runs one function and reads; the others read. Nobody but the owner may change a row.
revoke all on schema log from public;
revoke all on function log.append_batch, log.first_tagged, log.types_tagged from public;
grant usage on schema log to counterfoil_writer, counterfoil_reader, counterfoil_relay, counterfoil_projector;
grant select on all tables in schema log to counterfoil_writer, counterfoil_reader, counterfoil_relay, counterfoil_projector;
grant execute on function log.append_batch, log.types_tagged to counterfoil_writer;

revoke all on schema secret from public;
grant usage on schema secret to counterfoil_writer;
grant select on secret.fingerprint to counterfoil_writer;

