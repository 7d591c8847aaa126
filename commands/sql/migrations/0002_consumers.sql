-- pre-deployment
-- Process managers are consumers like all others: their registrations, checkpoints, parked triggers and requests stand
-- where those of the others do. Process managers of the release before retry in vain from here on.

insert into consumers.registration (consumer, registered_position, registered_at)
select name, registered_position, registered_at from process.registration;

insert into consumers.checkpoint (consumer, generation, partition, position, leaf, moved_at)
select name, generation, partition, position, leaf, moved_at from process.checkpoint;

insert into consumers.parked (consumer, partition_key, position, stream, version, type, reason, tries, queued,
    last_position, parked_at)
select name, partition_key, position, stream, version, type, reason, tries, queued, last_position, parked_at
from process.parked;

insert into consumers.request (kind, consumer, partition_key, position, actor, note, requested_at, executed_at, outcome)
select kind, name, partition_key, position, actor, note, requested_at, executed_at, outcome
from process.request order by request;

drop table process.request;
drop table process.parked;
drop table process.checkpoint;
drop table process.registration;
drop schema process;
