"""What `audit verify` says where log and views differ: it blames neither, and no advice of it blesses a forgery."""

import pytest

from counterfoil import auditing
from counterfoil.contexts import CONTEXTS
from counterfoil.sealing import Compared
from event_store.proofs import checkpoint, note
from tests.event_store.proofs.sealing import RELEAF, damage
from tests.tampering.shop import KEY

FORGED = """
update log.event set payload = replace(payload::text, '"quantity":100', '"quantity":1')::json where position = 2
"""


@pytest.fixture
def forged(copied):
    """A shop whose first delivery is another now, and whose view still says what it was."""
    shop = copied()
    damage(shop.url, FORGED)
    return shop


def verify(shop, **options):
    return auditing.verify(shop.url, contexts=CONTEXTS, **options)


def held(shop, *findings):
    kept = checkpoint.verified(note.parse(shop.kept.read_text()), [KEY.verifier])
    return Compared(kept, findings, vouched=True)


def test_a_view_is_not_judged_by_a_log_that_contradicts_itself(forged):
    report = verify(forged)
    [finding] = report.findings

    assert (2, "leaf-mismatch") == (finding.position, finding.kind)
    assert "payload was changed since a view was made of it: view product_search, key " in finding.message
    assert "is not judged by a log that is damaged itself" in "".join(report.unexamined)
    assert "rebuilt" not in "".join(report.lines())


def test_nor_by_a_log_that_is_not_what_was_sealed(forged):
    damage(forged.url, RELEAF)
    broken = auditing.Finding(2, "seal-broken", "the row was changed after it was sealed")
    report = verify(forged, sealed=held(forged, broken))

    assert "row-changed" not in {finding.kind for finding in report.findings}
    assert report.damaged
    assert "rebuilt" not in "".join(report.lines())


def test_where_log_and_view_differ_the_log_is_to_be_held_against_a_checkpoint_first(forged):
    damage(forged.url, RELEAF)
    report = verify(forged)

    assert {"row-changed"} == {finding.kind for finding in report.findings}
    assert "compare the log with a checkpoint (--against) before anything is rebuilt" in "".join(
        report.lines()
    )


def test_once_it_was_views_may_be_rebuilt(copied):
    shop = copied()
    damage(shop.url, "update views.stock_level_s1_b1 set on_hand = 1")
    lines = verify(shop, sealed=held(shop)).lines()

    assert "rows made of them alone may be rebuilt" in "".join(lines)


def test_a_view_that_was_never_built_is_not_examined_and_one_that_was_is_missed(copied):
    shop = copied()
    damage(shop.url, "delete from views.live where view in ('sku_sales', 'stock_level')")
    damage(shop.url, "drop view views.sku_sales; drop table views.sku_sales_s1_b1")
    damage(shop.url, "delete from views.build where view = 'sku_sales'")
    report = verify(shop)

    assert ["view-unregistered"] == [finding.kind for finding in report.findings]
    assert "view stock_level" in report.findings[0].message
    assert any("view sku_sales was never built here" in each for each in report.unexamined)
