-- pre-deployment
-- What sealing remembers: the last checkpoint of each tree, why nothing is sealed any more, and which keys sealed. The tree
-- itself stands in tiles outside the database. Rows are never deleted: a tree goes on from what was signed last.
create schema seal;

create table seal.tree (
    origin text primary key,
    size bigint not null check (size >= 0),
    root bytea not null check (octet_length(root) = 32),
    checkpoint text not null,
    sealed_at timestamptz not null default clock_timestamp(),
    refusal text
) with (fillfactor = 50); -- room for HOT updates: every checkpoint moves the row, no index follows it
comment on column seal.tree.checkpoint is 'signed note over origin, size and root';
comment on column seal.tree.refusal is 'why the sealer signs nothing; null while it does';

create table seal.key (
    origin text not null references seal.tree,
    key text not null,
    first_size bigint not null check (first_size >= 0),
    last_size bigint check (last_size >= first_size),
    handover text,
    primary key (origin, key)
);
comment on column seal.key.last_size is 'size of the last tree that this key signs; null while it seals';
comment on column seal.key.handover is 'checkpoint signed by this key and the one before it; null for the first';
create unique index key_that_seals on seal.key (origin) where last_size is null;

grant usage on schema seal to counterfoil_sealer, counterfoil_reader;
grant select on seal.tree, seal.key to counterfoil_sealer, counterfoil_reader;
grant insert, update on seal.tree, seal.key to counterfoil_sealer;

-- Beside its own tables the sealer reads the log and holds a lease, and nothing else.
grant usage on schema log, runtime to counterfoil_sealer;
grant select on all tables in schema log to counterfoil_sealer;
grant select, insert, update on runtime.lease to counterfoil_sealer;
