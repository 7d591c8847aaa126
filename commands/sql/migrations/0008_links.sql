-- pre-deployment
-- Links that are sent to an address: to register an account there, or to reset its password. Their tokens are stored nowhere:
-- they are made of the id and the file of secrets. A row is written when somebody asks, whether or not the address is
-- anybody's; whose it is, and what it is worth, is filled in when it is handled (`handled_at`).
create table vault.link (
    link_id text primary key,
    purpose text not null check (purpose in ('register', 'reset')),
    email text not null,
    email_digest text not null,
    requested_at timestamptz not null default clock_timestamp(),
    expires_at timestamptz not null,
    account_id text,
    credential_id text,
    handled_at timestamptz,
    used_at timestamptz
);
create index link_of_address on vault.link (email_digest, purpose, requested_at);
create index link_not_handled on vault.link (requested_at) where handled_at is null;
create index verifier_of_account on vault.verifier (account_id);

grant select, insert, update, delete on vault.link to counterfoil_vault;
