-- pre-deployment
-- All consumers that tail the log have one checkpoint each; process managers are told from the others by their kind.
alter table consumers.registration
    add column kind text not null default 'consumer' check (kind in ('consumer', 'process'));
