import hypothesis
from hypothesis import strategies as st

from domain.ids import Sku
from domain.money import UnitPrice
from domain.ordering.events import CreditLine, OrderLine
from domain.ordering.lines import LineRequest, grand_total, per_sku, priced
from tests.examples import CODES, GBP, LINES, REQUESTS

skus = st.sampled_from([Sku(code) for code in ("85123A", "85123a", "POST", "22 x", "10002")])
prices = st.decimals(0, 1000, places=4).map(lambda price: UnitPrice(f"{price:f}"))
requests = st.builds(
    LineRequest, sku=skus, quantity=st.integers(1, 500), unit_price=prices, stocked=st.just(True)
)


def test_repeated_codes_stay_separate_lines():
    assert priced(REQUESTS, line=OrderLine, currency=GBP) == LINES


def test_codes_are_taken_together_and_sorted():
    assert per_sku(LINES) == CODES
    assert per_sku(reversed(LINES)) == CODES


def test_codes_differ_in_case():
    lines = priced(
        [
            LineRequest(sku=Sku(code), quantity=1, unit_price=UnitPrice("1"), stocked=True)
            for code in ("85123a", "85123A")
        ],
        line=CreditLine,
        currency=GBP,
    )

    assert [code.sku for code in per_sku(lines)] == ["85123A", "85123a"]


@hypothesis.given(st.lists(requests, min_size=1, max_size=30))
def test_nothing_is_lost_or_gained_when_codes_are_taken_together(asked):
    lines = priced(asked, line=OrderLine, currency=GBP)
    codes = per_sku(lines)

    assert sum(request.quantity for request in asked) == sum(code.units for code in codes)
    assert grand_total(lines, currency=GBP) == sum(code.total for code in codes)
    assert sorted({request.sku for request in asked}) == [code.sku for code in codes]
