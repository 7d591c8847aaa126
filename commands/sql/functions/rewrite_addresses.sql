-- Write the tables with addresses anew, without rows that were replaced or deleted: their pages had addresses that were not
-- sealed. It waits for those who use the tables, and has them wait meanwhile. A row that an older transaction of this
-- database may still read stays until Postgres uses its space again.
create function vault.rewrite_addresses() returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    cluster vault.verifier using verifier_pkey;
    cluster vault.link using link_pkey;
end;
$$;
