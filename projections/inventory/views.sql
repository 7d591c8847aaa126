-- Indexes beyond the key. Stock is asked for by its code alone, which is the key; a list shows what runs out first.

-- view: stock_level
create index on {table} (available, sku);

-- view: stock_reservations
create index on {table} (reserved_at, sku, order_id);
create index on {table} (sku, reserved_at, order_id);

-- view: stock_backorders
create index on {table} (recorded_at, sku, order_id);
create index on {table} (sku, recorded_at, order_id);

-- view: located_stock
create index on {table} (location_id, sku);
