-- pre-deployment
-- When what can be tried out was tried lately: logins of an account and of an address of the network, links that were asked
-- for. `name` says what is counted.
create table vault.attempt (
    name text primary key,
    times timestamptz[] not null
);

-- include: ../functions/begin_attempt.sql
revoke all on function vault.begin_attempt from public;

grant select, insert, update, delete on vault.attempt to counterfoil_vault;
grant execute on function vault.begin_attempt to counterfoil_vault;
