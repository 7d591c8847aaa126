-- pre-deployment
-- Process managers tail the log like other consumers. Each goes on from the lowest of its checkpoints by partition, where
-- a partition that stands at the relay's last position for it counts as the relay's position: what is read again has its
-- outcome already. Process managers of the release before keep their own checkpoints.

update consumers.registration r set kind = 'process'
where not exists (select from consumers.checkpoint c where c.consumer = r.consumer and c.generation = 0);

insert into consumers.checkpoint (consumer, position, leaf)
select s.consumer, s.position, e.leaf
from (
    select r.consumer, greatest(r.registered_position, coalesce(p.position, 0)) as position
    from consumers.registration r
    left join lateral (
        select min(greatest(c.position, case when c.position >= t.position then y.position end)) as position
        from consumers.checkpoint c
        left join transport.relay y on y.generation = c.generation
        left join transport.relay_partition t on t.generation = c.generation and t.partition = c.partition
        where c.consumer = r.consumer
            and c.generation = (select max(g.generation) from consumers.checkpoint g where g.consumer = r.consumer)
    ) p on true
    where r.kind = 'process'
) s
left join log.event e on e.position = s.position;
