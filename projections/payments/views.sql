-- Indexes beyond the key. The books are read by order, or as they were written.

-- view: payment_ledger
create index on {table} (order_id, posting_id);
create index on {table} (posted_at, posting_id);
