-- pre-deployment
-- Keys of programs, by the SHA-256 of their 256 random bits: nothing can be done with a row. It is written before the event
-- that names it, and accepted once `named`.
create table vault.key (
    credential_id text primary key,
    client_id text not null,
    digest bytea not null check (octet_length(digest) = 32),
    scopes text[] not null,
    expires_at timestamptz,
    revoked_at timestamptz,
    made_at timestamptz not null default clock_timestamp(),
    named boolean not null default false
);
create index key_not_named on vault.key (made_at) where not named;

grant select, insert, update, delete on vault.key to counterfoil_vault;
grant select on vault.key to counterfoil_reader;
