-- pre-deployment
-- Parked keys of every consumer, and requests about them, stand in one place. Projections of the release before retry in
-- vain from here on, since their tables are gone; nothing is lost, for the log is the queue.

-- How far the events of a key waited was not kept: up to the event that failed is a safe beginning, since what comes
-- later is counted, and raises it.
insert into consumers.parked (consumer, shape, build, partition_key, position, stream, version, type, reason, tries,
    queued, last_position, parked_at)
select view, shape, build, partition_key, position, stream, version, type, reason, tries, queued, position, parked_at
from views.parked;

insert into consumers.request (kind, consumer, shape, partition_key, position, actor, note, requested_at, executed_at,
    outcome)
select kind, view, shape, partition_key, position, actor, '', requested_at, executed_at, outcome
from views.request order by request;

drop table views.parked;
drop table views.request;
