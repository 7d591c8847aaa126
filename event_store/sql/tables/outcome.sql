-- What became of each accepted request, for ever. No answer is stored: an answer is a pure function of the route and of
-- these numbers, so a replay renders it again.
create table log.outcome (
    key bytea primary key check (octet_length(key) = 16),
    fingerprint bytea not null check (octet_length(fingerprint) = 32),
    first_position bigint not null,
    last_position bigint not null,
    versions bigint[] not null
);
