-- Indexes beyond the key. A product page is asked for by its code alone, which is the key; lists are read in order.

-- view: product_page
create index on {table} (created_at, sku);
create index on {table} (stocked, sku);
create index on {table} (stocked, created_at, sku);

-- view: channel_details
create index on {table} (currency, channel);

-- view: category_details
create index on {table} (parent_id, category_id);
create index on {table} (parent_id, top, category_id);
create index on {table} (top, category_id);
create index on {table} (slug, category_id);

-- view: listing_summary
create index on {table} (archived, listing_id);
create index on {table} (slug, listing_id);
create index on {table} (created_at, listing_id);
create index on {table} (archived, created_at, listing_id);

-- view: channel_listing
create index on {table} (starts_at, channel, listing_id);
create index on {table} (channel, starts_at, listing_id);

-- view: category_listing
create index on {table} (category_id, channel, starts_at, listing_id);
create index on {table} (category_id, starts_at, channel, listing_id);
create index on {table} (starts_at, category_id, channel, listing_id);
create index on {table} (channel, starts_at, category_id, listing_id);
