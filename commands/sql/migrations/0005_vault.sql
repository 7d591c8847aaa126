-- pre-deployment
-- The vault: what proves who somebody is. None of it is in the log, which cannot forget.
create schema vault;

-- Which file of secrets this vault was begun with: a digest that only it gives.
create table vault.secret (
    single boolean primary key default true check (single),
    digest bytea not null check (octet_length(digest) = 32),
    began_at timestamptz not null default clock_timestamp()
);

-- Keys that sign access tokens. The secret half is encrypted under the file of secrets; `signs_from` is when it takes over
-- from the one before, and until `verifies_until` (null: no end yet) tokens that it signed are believed.
create table vault.signing_key (
    kid text primary key,
    public bytea not null check (octet_length(public) = 32),
    encrypted bytea not null,
    signs_from timestamptz not null,
    verifies_until timestamptz,
    made_at timestamptz not null default clock_timestamp()
);

-- Argon2id hashes of passwords. A row is written before the event that names its credential; where no event came to name
-- it, it is swept. The address is here until personal data can be sealed in events.
create table vault.verifier (
    credential_id text primary key,
    account_id text not null,
    hash text not null,
    email text not null,
    made_at timestamptz not null default clock_timestamp(),
    named boolean not null default false
);
create index verifier_not_named on vault.verifier (made_at) where not named;

-- One row for each session, from its opening until nothing of it can be used any more. `sequence` is that of the refresh
-- token which is valid now; it moves by comparison. What the log has still to be told is in the last two columns.
create table vault.session (
    session_id text primary key,
    account_id text not null,
    credential_id text not null,
    client_id text not null,
    sequence int not null default 1 check (sequence > 0),
    opened_at timestamptz not null default clock_timestamp(),
    rotated_at timestamptz not null default clock_timestamp(),
    expires_at timestamptz not null,
    revoked_at timestamptz,
    cause text,
    opening_recorded boolean not null default false,
    revocation_recorded boolean not null default false
) with (fillfactor = 70);
create index session_of_account on vault.session (account_id) where revoked_at is null;
create index session_not_recorded on vault.session (revoked_at) where revoked_at is not null and not revocation_recorded;

create table vault.denials (
    single boolean primary key default true check (single),
    last bigint not null
) with (fillfactor = 50);
insert into vault.denials (last) values (0);

create table vault.denial (
    number bigint primary key,
    subject text not null,
    expires_at timestamptz not null
);

-- include: ../functions/deny.sql

revoke all on schema vault from public;
revoke all on function vault.deny from public;
grant usage on schema vault to counterfoil_vault, counterfoil_reader;
grant select, insert on vault.secret to counterfoil_vault;
grant select, insert, update, delete on vault.signing_key, vault.verifier, vault.session, vault.denial to counterfoil_vault;
grant select, update on vault.denials to counterfoil_vault;
grant execute on function vault.deny to counterfoil_vault;
-- Both APIs verify tokens with these; nothing in them is secret.
grant select (kid, public, signs_from, verifies_until) on vault.signing_key to counterfoil_reader;
grant select on vault.denials, vault.denial to counterfoil_reader;
