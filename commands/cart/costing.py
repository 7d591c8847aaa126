"""What a cart costs: its discounts and its tax, by the pure functions of pricing, as the log has them at a decision."""

from datetime import datetime

from msgspec.structs import replace

from commands.coupons import coupon_in, discounts_in
from commands.decision import DecisionView
from commands.taxes import tax_categories_in, tax_table_in
from domain.cart.cart import SHIPPING_LINE, Cart, Checkout, priced_lines
from domain.cart.cart_coupon import CouponTerms
from domain.cart.checkout import CartCharge
from domain.cart.events import CartTotals
from domain.cart.offers import Offers
from domain.ids import CouponId, PromotionId
from domain.moment import in_utc
from domain.money import Minor, line_total
from domain.ordering.lines import LineRequest
from domain.pricing.basket import SaleTerms, basket, discount_of, tax_of
from domain.pricing.quote import Quote, Sale, Shipping, quote


def charge_in(view: DecisionView, cart: Cart, country: str, *, offers: Offers, now: datetime) -> CartCharge:
    """What an order of a cart to a country costs, at the prices of the cart, which are those that are offered.

    Raises:
        CouponUnknown, CouponExhausted, CouponNotApplicable: its coupon cannot be used, or takes nothing off.
        MissingTaxRate: the country is taxed, and nothing says how a line is.
        AmountTooLarge: one order may not cost that much.
    """
    tax_table = tax_table_in(view, country, at=in_utc(now))
    terms = SaleTerms(
        price_ids={sku: offer.price_id for sku, offer in offers.items() if offer.price_id is not None}
    )
    if tax_table is not None:
        categories = tax_categories_in(view, (line.sku for line in priced_lines(cart)))
        terms = replace(terms, jurisdiction=tax_table.jurisdiction, tax_categories=categories)
    sale = _sale(cart, terms, now=now)
    taken, promotion_id = discounts_in(view, sale, code=cart.coupon, customer_id=cart.customer_id)
    quoted = quote(sale, discounts=taken, tax_table=tax_table)
    return charge(quoted, cart, promotion_id=promotion_id)


def charge(quoted: Quote, cart: Cart, *, promotion_id: PromotionId | None) -> CartCharge:
    """A quote of a cart as its checkout promises it; `promotion_id` is the promotion of its coupon."""
    coupon = None if cart.coupon is None or promotion_id is None else (promotion_id, cart.coupon)
    return CartCharge(
        totals=CartTotals(
            items=quoted.totals.items,
            shipping=quoted.totals.shipping,
            discount=quoted.totals.discount,
            tax=quoted.totals.tax,
            tax_included=quoted.totals.tax_included,
            grand=quoted.totals.grand,
        ),
        discount=discount_of(quoted, cart.lines, shipping_line=SHIPPING_LINE, coupon=coupon),
        tax=tax_of(quoted, cart.lines, shipping_line=SHIPPING_LINE),
    )


def requested(cart: Cart, checkout: Checkout) -> list[LineRequest]:
    """The lines of the order of a checkout, the shipping last."""
    off = {each.line_id: each.amount for each in checkout.discount.lines}
    prices = {each.line_id: each for each in checkout.prices}
    taxes = {} if checkout.tax is None else {each.line_id: each for each in checkout.tax.lines}
    return [
        LineRequest(
            sku=line.sku,
            quantity=line.quantity,
            unit_price=line.unit_price,
            stocked=line.stocked,
            discount=off.get(line.line_id, Minor(0)),
            price=prices.get(line.line_id),
            tax=taxes.get(line.line_id),
        )
        for line in priced_lines(cart)
    ]


def terms_in(view: DecisionView, cart: Cart, *, code: CouponId, now: datetime) -> CouponTerms:
    """The terms of a coupon that takes something off a cart.

    Raises:
        CouponUnknown, CouponExhausted, CouponNotApplicable: it does not.
    """
    sale = _sale(cart, SaleTerms(), now=now)
    discounts_in(view, sale, code=code, customer_id=cart.customer_id)
    _, promotion = coupon_in(view, code)
    return CouponTerms(promotion_id=promotion.promotion_id, rule=promotion.rule, action=promotion.action)


def _sale(cart: Cart, terms: SaleTerms, *, now: datetime) -> Sale:
    post = cart.shipping
    shipping = (
        None
        if post is None
        else Shipping(
            amount=line_total(1, unit_price=post.unit_price, currency=cart.currency),
            tax_category=terms.tax_category_of(post.sku),
        )
    )
    return basket(cart.lines, shipping=shipping, currency=cart.currency, at=in_utc(now), terms=terms)
