-- Indexes beyond the keys. Carts are listed by whose they are, the newest first.

-- view: cart_summary
create index on {table} (opened_at, cart_id);
create index on {table} (customer_id, opened_at, cart_id);
create index on {table} (customer_id, status, opened_at, cart_id);
create index on {table} (status, opened_at, cart_id);
