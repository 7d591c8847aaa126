-- pre-deployment
-- What witnesses said of the checkpoints of each tree, and the newest checkpoint that is published: with cosignatures, and
-- where some are required, behind the newest that was signed.
alter table seal.tree add column published text;
comment on column seal.tree.published is 'newest published checkpoint with its cosignatures; null before the first';
update seal.tree set published = checkpoint;

create table seal.witness (
    origin text not null references seal.tree,
    key text not null,
    size bigint check (size >= 0),
    cosigned_at timestamptz,
    failure text,
    refusal text,
    primary key (origin, key)
) with (fillfactor = 50); -- room for HOT updates: every cosignature moves the row, no index follows it
comment on column seal.witness.size is 'size of the newest checkpoint that it cosigned; null before the first';
comment on column seal.witness.failure is 'why the last submission brought no cosignature; null if it did';
comment on column seal.witness.refusal is 'why it cosigns no history of this log any more; null while it does';

grant select on seal.witness to counterfoil_sealer, counterfoil_reader;
grant insert, update, delete on seal.witness to counterfoil_sealer;

-- What a witness refuses is carried no further.
grant usage on schema seal to counterfoil_relay, counterfoil_projector;
grant select (origin, sealed_at) on seal.tree to counterfoil_relay, counterfoil_projector;
grant select (origin, refusal) on seal.witness to counterfoil_relay, counterfoil_projector;
