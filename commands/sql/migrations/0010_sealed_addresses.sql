-- pre-deployment
-- Addresses are sealed like personal data of events: `address` is key id, nonce and ciphertext as JSON, under the key that the
-- key database has for `email_digest`. `email` has those that are not: of an installation without a key database, and those
-- that were there before it had one, until the command API has sealed them.
alter table vault.verifier
    alter column email drop not null,
    add column email_digest text,
    add column address text,
    add constraint verifier_has_an_address check (num_nonnulls(email, address) = 1),
    add constraint verifier_is_found_by_address check (address is null or email_digest is not null);
alter table vault.link
    alter column email drop not null,
    add column address text,
    add constraint link_has_an_address check (num_nonnulls(email, address) = 1);
create index verifier_of_address on vault.verifier (email_digest);
create index verifier_not_sealed on vault.verifier (credential_id) where email is not null;
create index link_not_sealed on vault.link (link_id) where email is not null;

-- include: ../functions/rewrite_addresses.sql
revoke all on function vault.rewrite_addresses from public;
grant execute on function vault.rewrite_addresses to counterfoil_vault;
