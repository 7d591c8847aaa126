-- Indexes beyond the keys. A keyset page reads its index in order from the cursor on, in either direction.

-- view: order_summary
create index on {table} (placed_at, order_id);
create index on {table} (customer_id, placed_at, order_id);
create index on {table} (status, placed_at, order_id);
create index on {table} (country, placed_at, order_id);
create index on {table} (country, status, placed_at, order_id);

-- view: order_history
create index on {table} (placed_at, order_id);
create index on {table} (customer_id, placed_at, order_id);
create index on {table} (status, placed_at, order_id);
create index on {table} (payment, placed_at, order_id);
create index on {table} (fulfilment, placed_at, order_id);
create index on {table} (payment, fulfilment, placed_at, order_id);

-- view: sales_daily
create index on {table} (country, day, currency);
