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

-- Events of one application of the `eventsourcing` library in order. Only their streams begin with anything but a
-- lower-case letter, so the shop's own events, whose streams do, pay nothing. Queries repeat both expressions.
create index event_application on log.event ((split_part(stream, '-', 1) collate "C"), position)
    where stream collate "C" < 'a';
