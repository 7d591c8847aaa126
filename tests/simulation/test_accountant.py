"""Random shops, whose money is followed to the minor unit by books that are kept from the documentation alone."""

from decimal import Decimal

import pytest

from counterfoil.testing.scheduling import first_problem
from domain.payments import refunding
from domain.pricing import evaluation, quote
from domain.pricing.price import Prices
from domain.pricing.rounding import share
from projections.ordering import sales
from tests.simulation.bookkeeping import Bookkeeper
from tests.sizes import ACCOUNTING

ACTS = 60
FOUND_WITHIN = 50
"""Shops within which a planted defect has to show."""


def run(seed):
    """What the books of one shop do not agree about: nothing, or the first of it."""
    keeper = Bookkeeper(seed)
    try:
        for _ in range(ACTS):
            keeper.act()
    except AssertionError as differs:
        return [str(differs)]
    return []


@pytest.mark.slow
def test_quotes_orders_payments_and_sums_are_what_the_documentation_says_to_the_minor_unit(explored):
    assert {} == explored(run, schedules=ACCOUNTING.chosen)


def round_tax_up(monkeypatch):
    monkeypatch.setattr(quote, "share_of_pieces", lambda amount, part, of, **_: -(-amount * part // of))


def tax_pieces_as_lines(monkeypatch):
    def share_of_pieces(*of, rounding, **_):
        return share(*of, rounding=rounding)

    monkeypatch.setattr(quote, "share_of_pieces", share_of_pieces)


def carry_amounts_of_any_size(monkeypatch):
    monkeypatch.setattr(quote, "within_limit", lambda amount, **_: amount)


def apply_the_lowest_tier(monkeypatch):
    def applying(prices, list_id, *, quantity, **of):
        tiers = (true_applying(prices, list_id, quantity=reached, **of) for reached in (1, 3, 10))
        return next((each for each in tiers if each and each.min_quantity <= quantity), None)

    true_applying = Prices.applying
    monkeypatch.setattr(Prices, "applying", applying)


def give_the_dearest_pieces_away(monkeypatch):
    monkeypatch.setattr(
        evaluation, "_own_order", lambda sale, index: (-Decimal(sale.lines[index].unit_price), index)
    )


def apply_all_of_a_group(monkeypatch):
    monkeypatch.setattr(evaluation._Evaluating, "_best", lambda _, promotions: promotions)


def take_more_off_than_is_left(monkeypatch):
    monkeypatch.setattr(evaluation._Evaluating, "_capped", lambda _, takes: takes)


def give_lines_back_twice(monkeypatch):
    monkeypatch.setattr(refunding, "require_ordered", lambda *_: None)


def count_by_the_hour(monkeypatch):
    monkeypatch.setattr(sales, "quarter_of", lambda moment: moment.replace(minute=0, second=0, microsecond=0))


@pytest.mark.parametrize(
    "plant",
    [
        round_tax_up,
        tax_pieces_as_lines,
        carry_amounts_of_any_size,
        apply_the_lowest_tier,
        give_the_dearest_pieces_away,
        apply_all_of_a_group,
        take_more_off_than_is_left,
        give_lines_back_twice,
        count_by_the_hour,
    ],
)
def test_a_planted_defect_is_found(plant, monkeypatch):
    plant(monkeypatch)

    assert first_problem(run, within=FOUND_WITHIN) < FOUND_WITHIN
