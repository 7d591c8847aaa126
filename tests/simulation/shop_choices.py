"""Whatever those who have to do with a shop may choose from."""

from hypothesis import strategies as st

from domain.inventory.locations import MAIN
from tests.simulation.shop_provider import MOODS

SKUS = ("A", "B")
DEPOT = "depot"
PLACES = st.sampled_from((MAIN, MAIN, DEPOT))
BUYERS = ("c1", "c2", "g1", "g2")
"""Two customers, and two guests."""
LISTS = {"trade": "resellers", "retail": None}
"""Price lists in their order, and the group that each is for."""
PRICE = st.sampled_from(("0.01", "1", "2.55", "0.0275", "19.99"))
LISTED = st.fixed_dictionaries({list_id: st.none() | PRICE for list_id in LISTS})
"""The price of everything in each list; None: it has none."""
RATES = (
    {"rate_bp": 825, "included": False},
    {"rate_bp": 2_000, "included": True},
    {"rate_bp": 0, "included": False},
)
METHODS = ("pm_visa", "pm_other")
CREDIT = "store credit"
PAID_BY = (None, *METHODS, CREDIT, CREDIT)
CODES = {"SAVE": {"limit": 2}, "ONCE": {"per_customer": 1}}
"""Two coupons of one promotion, which has a budget for three."""
REMEDIES = ("refund", "replacement")
"""What the buyer of an order that was lost on its way gets for it."""
PARTS = st.sampled_from((825, 1_250, 3_333))
"""Basis points that are off while there is a sale."""
HOLDS = ("payment", "stock", "fraud", "manual")
SOME = st.integers(0, 30)
"""One of however many there are."""
FEW = st.integers(1, 3)
AMOUNTS = st.integers(1, 500)
MOODY = st.sampled_from(MOODS)
CODE = st.sampled_from((None, *CODES))
SALES = st.tuples(
    st.sampled_from(BUYERS),
    st.sampled_from(SKUS),
    FEW,
    st.sampled_from(PAID_BY),
    CODE,
    st.none() | st.sampled_from(("waits", "leaves", "instead", *REMEDIES)),
)
"""Who bought how much of what, how it is paid, with which coupon; and what became of it, None: it was not seen."""


def chosen(things, some, wanted=lambda _: True):
    """One of those that are wanted, if there are any."""
    found = [each for each in things if wanted(each)]
    return [found[some % len(found)]] if found else []
