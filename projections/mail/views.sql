-- Indexes beyond the key. Mails are read newest first: all, those that failed, those of an order or to one recipient.

-- view: mail_details
create index on {table} (requested_at, mail_id);
create index on {table} (status, requested_at, mail_id);
create index on {table} (order_id, requested_at, mail_id);
create index on {table} (recipient_ref, requested_at, mail_id);
