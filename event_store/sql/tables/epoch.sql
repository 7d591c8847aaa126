-- One row for each life of the log: the first at its creation, another after each promotion or restore.
create table log.epoch (
    epoch bigint primary key,
    first_position bigint not null,
    started_at timestamptz not null,
    reason text not null
);

insert into log.epoch (epoch, first_position, started_at, reason) values (1, 1, clock_timestamp(), 'created');
