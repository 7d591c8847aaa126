-- Indexes beyond the key. Accounts are read newest first: all, those of one status, or those that have a role.

-- view: account_details
create index on {table} (registered_at, account_id);
create index on {table} (status, registered_at, account_id);
create index on {table} using gin ((roles::jsonb));
