-- Indexes beyond the key. A product page is asked for by its code alone, which is the key; lists are read in order.

-- view: product_page
create index on {table} (created_at, sku);
create index on {table} (stocked, sku);
create index on {table} (stocked, created_at, sku);
