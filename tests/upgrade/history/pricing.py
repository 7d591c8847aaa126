"""Price lists, customer groups, taxes, promotions, and coupons that are redeemed by hand."""

from typing import Final

from tests.upgrade.history.catalogue import BOWL, CHANNEL, CUP
from tests.upgrade.installation import Installation, Sent

LONG_AGO: Final = "2020-01-01T00:00:00Z"
COUPON: Final = "SPRING10"
TAXED: Final = "EIRE"
"""The country whose checkouts are taxed."""


def fill(on: Installation) -> None:
    """Everything that pricing knows."""
    _prices(on)
    _promotions(on)
    for category, rate in (("standard", 2_300), ("reduced", 900)):
        body = {"tax_category": category, "rate_bp": rate, "included": True, "valid_from": LONG_AGO}
        on.send(Sent(f"tax-{category}", f"/v1/tax-tables/{TAXED}/rates", body))
    on.shows(f"/v1/tax-tables/{TAXED}")


def _prices(on: Installation) -> None:
    for name, pieces, price in (("one", 1, "11.90"), ("many", 10, "9.90"), ("wrong", 50, "1.00")):
        body = {"price_id": name, "list_id": "retail", "min_quantity": pieces, "unit_price": price}
        on.send(Sent(f"price-{name}", f"/v1/products/{CUP}/prices", {**body, "currency": "GBP"}))
    on.send(Sent("retire-price", f"/v1/products/{CUP}/price-retirements", {"price_id": "wrong"}))
    trade = {"price_id": "trade", "list_id": "trade", "unit_price": "6.10", "currency": "GBP"}
    on.send(Sent("price-trade", f"/v1/products/{BOWL}/prices", trade))
    lists = [{"list_id": "trade", "group": "resellers"}, {"list_id": "retail"}]
    on.send(Sent("price-lists", f"/v1/channels/{CHANNEL}/price-lists", {"lists": lists}))
    on.send(Sent("group", "/v1/customers/reseller/group", {"group": "resellers"}))
    on.shows(f"/v1/prices/{CUP}", f"/v1/channel-price-lists/{CHANNEL}", "/v1/customer-groups/reseller")


def _promotions(on: Installation) -> None:
    spring = {"promotion_id": "spring", "needs_coupon": True, "budget": 100_000, "valid_from": LONG_AGO}
    tenth = {"action": {"kind": "percent_bp", "percent_bp": 1_000}, "currency": "GBP"}
    on.send(Sent("define-spring", "/v1/promotions", {**spring, **tenth}))
    on.send(Sent("define-autumn", "/v1/promotions", {"promotion_id": "autumn", **tenth}))
    on.send(Sent("end-autumn", "/v1/promotions/autumn/end", {}))
    on.send(Sent("coupon", "/v1/coupons", {"code": COUPON, "promotion_id": "spring", "limit": 100}))
    for name in ("kept", "released"):
        used = {"redemption_id": name, "order_id": f"by-hand-{name}", "customer_id": "ada", "amount": 195}
        on.send(Sent(f"redeem-{name}", f"/v1/coupons/{COUPON}/redemptions", used))
    on.send(Sent("release", "/v1/redemptions/released/release", {"reason": "staff"}))
    on.shows("/v1/promotions", "/v1/promotions/spring", f"/v1/coupons/{COUPON}")
