"""A worker keeps every view equal to a fold of the log, whatever the carrier does and whenever it stops."""

import random

import pytest

from counterfoil.contexts import CONTEXTS
from tests.projections.feeding import append, assert_views_hold_the_log, feeding, history, publish


def test_views_hold_what_their_folds_make_of_the_log(shop_url):
    append(shop_url, history(1))
    with feeding(shop_url, CONTEXTS.views) as feeder:
        feeder.catch_up()

    assert_views_hold_the_log(shop_url, CONTEXTS.views)


def test_views_go_on_from_their_checkpoints_after_a_restart(shop_url):
    events = history(2)
    for part in (events[:200], events[200:]):
        append(shop_url, part)
        with feeding(shop_url, CONTEXTS.views) as feeder:
            feeder.catch_up()

    assert_views_hold_the_log(shop_url, CONTEXTS.views)


def lossy(seed):
    chance = random.Random(seed)

    def mischief(records):
        kept = [record for record in records if chance.random() > 0.2]
        kept += [record for record in kept if chance.random() < 0.2]
        if chance.random() < 0.5:
            chance.shuffle(kept)
        return kept

    return mischief


@pytest.mark.parametrize("seed", range(3))
def test_lost_repeated_and_reordered_records_change_nothing(shop_url, seed):
    events = history(seed)
    with feeding(shop_url, CONTEXTS.views, mischief=lossy(seed)) as feeder:
        for first in range(0, len(events), 40):
            append(shop_url, events[first : first + 40])
            feeder.round()
            feeder.round()
        publish(shop_url)
        feeder.catch_up()
        repaired = feeder.count("counterfoil_transport_repaired_records_total")

    assert_views_hold_the_log(shop_url, CONTEXTS.views)
    assert repaired > 0
