-- The secret under which fingerprints are made (HMAC-SHA-256), for ever: another one would take every repeated request
-- for a mistake. 366 random bits, hashed to 32 bytes. Only those who append may read it.
create table secret.fingerprint (
    only_row boolean primary key default true check (only_row),
    key bytea not null check (octet_length(key) = 32)
);

insert into secret.fingerprint (key)
values (sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())));
