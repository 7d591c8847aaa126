"""An audit during appends: it gives way to them."""

import pytest

from counterfoil import auditing, progress
from counterfoil.contexts import CONTEXTS
from domain.inventory.events import StockReceived
from event_store.log.pacing import Pace
from tests.examples import NOW
from tests.projections import feeding


@pytest.mark.parametrize("part", ["verifying the log", "folding every view again"])
def test_an_audit_gives_way_in_each_part_that_reads_the_log(part, shop_url, monkeypatch):
    shown, gave_way = [], []
    monkeypatch.setattr(Pace, "give_way", lambda _pace: gave_way.append(shown[-1]))
    step = progress.step
    monkeypatch.setattr(progress, "step", lambda name, **given: shown.append(name) or step(name, **given))
    feeding.append(
        shop_url, [("stock-A", StockReceived(sku="A", quantity=1, reference="x", received_at=NOW))]
    )

    auditing.verify(shop_url, contexts=CONTEXTS)
    assert part in gave_way
