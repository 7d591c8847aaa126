"""What operators act on, in a log: keys that stand still, a decided trigger, views with one build and with two."""

import psycopg

from commands.processes.trigger import outcome_fingerprint, outcome_key
from domain.operations.skips import SKIPS
from event_store.log import fingerprints, reading
from tests.commands.http_spec import Shop
from tests.examples import event_skipped

STOPPED = """
insert into consumers.parked (consumer, shape, build, partition_key, position, stream, version, type, reason,
    last_position)
values ('order_details', 1, 1, 'order-placed', 4, 'order-placed', 1, 't', 'r', 4),
    ('skipping', 0, 0, 'order-placed', 4, 'order-placed', 1, 't', 'r', 4)
"""
DECIDED_ALREADY = """
insert into log.outcome (key, fingerprint, first_position, last_position, versions)
select %s, %s, 0, 0, '{}'
"""
BUILDS = """
insert into views.build (view, shape, build, state)
values ('one_build', 1, 1, 'following'), ('two_builds', 1, 1, 'following'), ('two_builds', 1, 2, 'following'),
    ('folding', 1, 1, 'following'), ('folding', 1, 2, 'folding')
"""
LIVE = """
insert into views.live (view, shape, build, previous_shape, previous_build)
values ('one_build', 1, 1, null, null), ('two_builds', 1, 2, 1, 1), ('folding', 1, 1, null, null)
"""


async def install(shop: Shop, *, decided: int) -> None:
    """Have it there; `decided` is the position of the trigger."""
    skip = event_skipped(consumer="skipping", shape=None, partition_key="order-placed", position=4)
    await shop.record((SKIPS, "skipping", skip))
    with psycopg.connect(shop.url, autocommit=True) as admin:
        for statement in (STOPPED, BUILDS, LIVE):
            admin.execute(statement)
        made_by = fingerprints.read(admin)
        leaf = reading.leaf_at(admin, decided)
        assert leaf is not None
        key = outcome_key("fulfilment", epoch=1, position=decided)
        admin.execute(DECIDED_ALREADY, [key, outcome_fingerprint(made_by, "fulfilment", leaf=leaf)])
