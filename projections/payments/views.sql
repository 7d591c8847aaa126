-- Indexes beyond the key. The books are read by order, or as they were written; payments, by what they wait for.

-- view: payment_details
create index on {table} (created_at, payment_id);
create index on {table} (waiting, created_at, payment_id);
create index on {table} (waits_for, created_at, payment_id);

-- view: payment_ledger
create index on {table} (order_id, posted_at, posting_id);
create index on {table} (posted_at, posting_id);
