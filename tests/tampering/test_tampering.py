"""Whatever is done to an installation behind the application's back is found: without a key, or with a kept checkpoint.

Which of both finds it is a table in docs/audit.md, and holds in both directions.
"""

import re

import pytest

from counterfoil import auditing
from counterfoil.contexts import CONTEXTS
from event_store.proofs import against, checking, checkpoint, exporting, note, proving
from event_store.proofs.tiles import Directory
from runtime import database
from tests import sizes
from tests.architecture.source import ROOT
from tests.tampering.around import AROUND
from tests.tampering.manipulations import ALL, FURTHER, KINDS
from tests.tampering.shop import KEY, Shop
from tests.tampering.tampering import Manipulation, tamper


def keyless(shop):
    report = auditing.verify(shop.url, contexts=CONTEXTS)
    return [*(finding.kind for finding in report.findings)] or (["unexamined"] if report.unexamined else [])


def sealed(shop):
    """What is wrong by a kept checkpoint; if the events are as they were sealed, what is wrong in addition to them."""
    store = Directory(shop.tiles)
    kept = checkpoint.verified(note.parse(shop.kept.read_text()), [KEY.verifier])
    with database.connect(shop.url, role="counterfoil_reader", name="test") as connection:
        if found := [each.kind for each in against.findings(connection, kept, store=store)]:
            return found
        lines = exporting.of_range(connection, proving.published(store), first=1, last=kept.size)
        return [each.kind for each in checking.check(lines, keys=[KEY.verifier]).found.listed]


def test_a_shop_that_nobody_touched_is_in_order(original):
    assert [] == keyless(original)


def test_no_export_of_it_raises_an_alarm(original):
    for _ in range(sizes.CLEAN_EXPORTS.chosen):
        assert [] == sealed(original)


def test_there_are_twelve_kinds_and_further_manipulations_of_tables_and_of_what_surrounds_them():
    assert (12, 33, 16) == (len(KINDS), len(FURTHER), len(AROUND))
    assert len(ALL) == len({each.name for each in ALL})
    assert all(each.keyless or each.sealed for each in ALL)


@pytest.mark.parametrize("manipulation", ALL, ids=lambda each: each.name)
def test_it_is_found_that(manipulation: Manipulation, copied):
    for seed in range(sizes.TAMPERINGS.chosen):
        shop: Shop = copied()
        tamper(shop, manipulation, seed=seed)
        found = keyless(shop), sealed(shop)
        assert (manipulation.keyless, manipulation.sealed) == tuple(map(bool, found)), (seed, found)


def test_the_page_has_the_same_table():
    text = (ROOT / "docs" / "audit.md").read_text()
    rows = re.findall(r"^\| (.+) \| (yes|no) \| (yes|no) \|$", text, re.MULTILINE)

    assert [(each.name, each.keyless, each.sealed) for each in ALL] == [
        (name, keyless == "yes", sealed == "yes") for name, keyless, sealed in rows
    ]
