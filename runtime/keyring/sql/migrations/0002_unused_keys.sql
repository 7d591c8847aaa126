-- pre-deployment
-- Whether an event was seen that uses a key. One that a refused command made is used by none, and is swept. `made_at` of a key
-- that is not known to be used moves each time it is sealed under.
alter table keys.subject add column used boolean not null default false;
create index subject_not_used on keys.subject (made_at) where not used;
