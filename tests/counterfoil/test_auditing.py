"""An audit during appends: it gives way to them."""

import pytest

from counterfoil import auditing, progress
from counterfoil.contexts import CONTEXTS
from domain.inventory.events import StockReceived
from event_store.log.pacing import Pace
from projections import builds
from runtime import database
from tests.examples import NOW
from tests.projections import feeding


@pytest.mark.parametrize("part", ["verifying the log", "folding every view again"])
def test_an_audit_gives_way_in_each_part_that_reads_the_log(part, database_url, monkeypatch):
    shown, gave_way = [], []
    monkeypatch.setattr(Pace, "give_way", lambda _pace: gave_way.append(shown[-1]))
    step = progress.step
    monkeypatch.setattr(progress, "step", lambda name, **given: shown.append(name) or step(name, **given))
    feeding.settle(database_url)
    with database.connect(database_url, role="counterfoil_projector", name="test") as conn:
        builds.ensure_builds(conn, CONTEXTS.views)
    feeding.append(
        database_url, [("stock-A", StockReceived(sku="A", quantity=1, reference="x", received_at=NOW))]
    )

    auditing.verify(database_url, contexts=CONTEXTS)
    assert part in gave_way
