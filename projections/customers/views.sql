-- Indexes beyond the keys. A keyset page reads its index in order from the cursor on, in either direction.

-- view: customer_summary
create index on {table} (registered_at, customer_id);
create index on {table} (country, registered_at, customer_id);
create index on {table} (marketing, registered_at, customer_id);
create index on {table} (country, marketing, registered_at, customer_id);
create index on {table} (analytics, customer_id);

-- view: customer_email
create index on {table} (email_digest, customer_id);
