-- Indexes beyond the keys. A timeline is asked for by its SKU, price lists by their channel, a tax table by its jurisdiction, a coupon by its code.

-- view: promotion_details
create index on {table} (is_ended, promotion_id);
