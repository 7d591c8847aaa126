-- Timers in the order in which they are due, of each name by itself: a page reads this index from the last one on.

-- view: timers_*
create index on {table} (name, due_at, stream);
