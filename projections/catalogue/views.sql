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

-- Each publication that ended leaves a tombstone, so of these tables most may be tombstones: lists do not pass through them.

-- view: channel_listing
create index on {table} (starts_at, channel, listing_id) where not deleted;
create index on {table} (channel, starts_at, listing_id) where not deleted;

-- view: category_listing
create index on {table} (category_id, channel, starts_at, listing_id) where not deleted;
create index on {table} (category_id, starts_at, channel, listing_id) where not deleted;
create index on {table} (starts_at, category_id, channel, listing_id) where not deleted;
create index on {table} (channel, starts_at, category_id, listing_id) where not deleted;

-- view: product_search
alter table {table} add column words tsvector generated always as (
    setweight(to_tsvector('english'::regconfig, coalesce(heading, '')), 'A')
    || setweight(to_tsvector('simple'::regconfig, coalesce(heading, '')), 'A')
    || setweight(to_tsvector('simple'::regconfig, translate(sku, '-_.', '   ')), 'B')
    || setweight(to_tsvector('english'::regconfig, coalesce(body, '')), 'C')
    || setweight(to_tsvector('simple'::regconfig, coalesce(body, '')), 'C')
) stored;
alter table {table} add column facet_list text[] generated always as (string_to_array(facets, E'\n')) stored;
create index on {table} using gin (words) with (fastupdate = off);
create index on {table} using gin (ts_filter(words, '{{a}}')) with (fastupdate = off);
create index on {table} using gin (facet_list) with (fastupdate = off);
create index on {table} (listing_id);
create index on {table} (title, sku);
create index on {table} (created_at, sku);
create index on {table} (currency, price, sku);

-- view: listing_search
alter table {table} add column words tsvector generated always as (
    setweight(to_tsvector('english'::regconfig, coalesce(heading, '')), 'A')
    || setweight(to_tsvector('simple'::regconfig, coalesce(heading, '')), 'A')
    || setweight(to_tsvector('english'::regconfig, coalesce(body, '')), 'C')
    || setweight(to_tsvector('simple'::regconfig, coalesce(body, '')), 'C')
) stored;
alter table {table} add column facet_list text[] generated always as (string_to_array(facets, E'\n')) stored;
create index on {table} using gin (words) with (fastupdate = off);
create index on {table} using gin (facet_list) with (fastupdate = off);
create index on {table} using gin ((channels::jsonb)) with (fastupdate = off);

-- view: title_word with pg_trgm
create index on {table} using gin (word {extension}.gin_trgm_ops) with (fastupdate = off);
