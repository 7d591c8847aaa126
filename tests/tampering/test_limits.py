"""Changes that no audit finds, as docs/audit.md says: where one comes to be found, the page is to say so."""

import psycopg
import pytest

from tests.tampering.test_tampering import keyless, sealed

_MOVED = """
update consumers.registration set registered_position = (select position from log.head) where consumer = 'fulfilment';
update consumers.checkpoint c set position = e.position, leaf = e.leaf from log.event e
where c.consumer = 'fulfilment' and e.position = (select position from log.head)
"""
LIMITS = {
    "the reason of an epoch": "update log.epoch set reason = 'another' where epoch = 2",
    "versions in addition": "update log.outcome set versions = versions || 99::bigint where first_position = 5",
    "the order of versions": """
        update log.outcome set versions = (select array_agg(each order by n desc) from unnest(versions)
        with ordinality as v (each, n))
    """,
    "a process manager moved ahead with its registration": _MOVED,
    "a checkpoint that is set back": """
        update consumers.checkpoint set position = 1, leaf = (select leaf from log.event where position = 1)
    """,
    "tracking of an application": "insert into log.tracking values ('follower', 'Bank', 99)",
    "the secret of the fingerprints": "update secret.fingerprint set key = sha256('another')",
    "the id of the installation": "update log.installation set id = gen_random_uuid()",
    "the first position of a generation": "update transport.generation set start_position = start_position + 1",
    "a pause": "insert into consumers.paused (consumer, act) values ('fulfilment', 1)",
    "an SQL view of the bare name": """
        drop view views.stock_level;
        create view views.stock_level as select * from views.stock_level_s1_b1 where sku <> '22423'
    """,
}


@pytest.mark.parametrize("statement", LIMITS.values(), ids=LIMITS)
def test_it_is_a_limit_that_nobody_finds(statement, copied):
    shop = copied()
    with psycopg.connect(shop.url, autocommit=True) as admin:
        admin.execute(statement)

    assert ([], []) == (keyless(shop), sealed(shop))
