-- Which installation this is. Topics, consumer groups, cache keys and what is sent to others carry its id, so that two
-- installations never meet on one Kafka or one Redis. A restored copy keeps it; a copy that lives beside the original
-- gets its own (`counterfoil log fence --new-installation`).
create table log.installation (
    only_row boolean primary key default true check (only_row),
    id uuid not null,
    began_at timestamptz not null,
    copied boolean not null default false
);

insert into log.installation (id, began_at) values (gen_random_uuid(), clock_timestamp());
