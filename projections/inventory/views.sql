-- Indexes beyond the key. Stock is asked for by its code alone, which is the key; a list shows what runs out first.

-- view: stock_level
create index on {table} (available, sku);
