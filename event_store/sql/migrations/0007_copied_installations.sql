-- pre-deployment
-- Whether this installation began as a copy of another one, whose log, settings and orders it may share.
alter table log.installation add column copied boolean not null default false;
