-- The head of the log: its last position, its epoch and its newest timestamp. The only lock in the system.
create table log.head (
    only_row boolean primary key default true check (only_row),
    position bigint not null,
    epoch bigint not null,
    recorded_at timestamptz not null
) with (fillfactor = 10); -- room for HOT updates: every batch writes this row, no index follows it

insert into log.head (position, epoch, recorded_at) values (0, 1, '1970-01-01T00:00:00Z');
