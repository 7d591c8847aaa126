"""Checkpoints held against the log, wherever they are noted: none is beyond its end, or of another event."""

from collections.abc import Iterator
from typing import Final

from event_store.log.findings import FINDINGS_MAX, Finding
from event_store.log.reading import Connection

# One statement sees checkpoints and head as they were at one moment, whatever is appended meanwhile. Of generations and
# trees only the newest count: an older one may name positions that a restore took away.
_BEYOND: Final = """
select n.noted_by, n.position, h.position
from log.head h cross join (
    select 'the relay' as noted_by, r.position from transport.relay r
    where r.generation = (select max(generation) from transport.generation)
    union all
    select 'the relay in partition ' || r.partition, r.position from transport.relay_partition r
    where r.generation = (select max(generation) from transport.generation)
    union all
    select 'the view ' || c.view || ' s' || c.shape || ' b' || c.build, max(c.position) from views.checkpoint c
    where c.generation = (
        select max(x.generation) from views.checkpoint x where (x.view, x.shape, x.build) = (c.view, c.shape, c.build)
    )
    group by c.view, c.shape, c.build
    union all
    select 'the view ' || b.view || ' s' || b.shape || ' b' || b.build || ', while it was folded,', b.folded_to
    from views.build b where b.state = 'folding'
    union all
    select 'the snapshot of ' || s.stream, s.position from views.snapshot s
    union all
    select c.consumer, c.position from consumers.checkpoint c where c.generation = 0
    union all
    select 'a parked key of ' || p.consumer, p.last_position from consumers.parked p
    union all
    (select 'the seal', t.size from seal.tree t order by t.sealed_at desc limit 1)
) n
where n.position > h.position
order by n.position, n.noted_by
limit %s
"""
_CONTRADICTED: Final = """
select n.noted_by, n.position
from (
    select 'the view ' || c.view || ' s' || c.shape || ' b' || c.build as noted_by, c.position, c.leaf
    from views.checkpoint c
    where c.generation = (
        select max(x.generation) from views.checkpoint x where (x.view, x.shape, x.build) = (c.view, c.shape, c.build)
    )
    union all
    select c.consumer, c.position, c.leaf from consumers.checkpoint c where c.generation = 0
) n
join log.event e on e.position = n.position
where n.leaf <> e.leaf
order by n.position, n.noted_by
limit %s
"""


def checkpoints(connection: Connection) -> Iterator[Finding]:
    """Checkpoints of what the log does not hold: beyond its end, or of another event at their position.

    Args:
        connection: in autocommit mode, in a role that reads every schema of the installation.
    """
    for noted_by, position, head in connection.execute(_BEYOND, [FINDINGS_MAX]):
        message = f"{noted_by} came to {position:,}, and the log ends at {head:,}: its end was cut off, or that moved"
        yield Finding(int(head) + 1, "checkpoint-beyond-head", message)
    for noted_by, position in connection.execute(_CONTRADICTED, [FINDINGS_MAX]):
        message = (
            f"{noted_by} noted the leaf of another event here: the log was changed since, with its leaves,"
            " or the checkpoint was"
        )
        yield Finding(int(position), "checkpoint-contradicted", message)
