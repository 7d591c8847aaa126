-- pre-deployment
-- Typing errors in a search are tolerated where Postgres has the extension pg_trgm. It is trusted: who may create schemas
-- in a database may create it, so the owner needs no more rights than it has. Without it a search takes beginnings of words.

create schema search;
grant usage on schema search to counterfoil_projector, counterfoil_reader;

do $$
begin
    if exists (select from pg_available_extensions where name = 'pg_trgm' and installed_version is null) then
        create extension pg_trgm schema search;
    end if;
exception when insufficient_privilege or undefined_file or feature_not_supported then
    raise notice 'pg_trgm cannot be created here: a search tolerates no typing errors';
end
$$;
