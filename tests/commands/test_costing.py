"""What a cart is quoted, promised at its checkout and charged by its order: the same, to the minor unit."""

from hypothesis import given
from hypothesis import strategies as st

from commands.cart.costing import charge, requested
from counterfoil.testing.spec import state_of
from domain.cart.cart import SHIPPING_LINE, Cart, Checkout, Item
from domain.ids import CheckoutId, JurisdictionId, OrderId, Sku
from domain.money import EXPONENTS, Minor, UnitPrice, line_total
from domain.ordering import order as orders
from domain.pricing.basket import SaleTerms, basket
from domain.pricing.quote import AppliedPromotion, Discounts, Shipping, quote, subtotals
from domain.pricing.tax_table import STANDARD, TAX_TABLE
from tests.cart_examples import ADA, CART, CHECKOUT, NOW
from tests.pricing_examples import SPRING, tax_rate_set

COUNTRY = "United Kingdom"
TABLES = st.builds(
    lambda rate_bp, included: state_of(
        TAX_TABLE,
        tax_rate_set(jurisdiction=JurisdictionId(COUNTRY), rate_bp=rate_bp, included=included),
    ),
    st.integers(0, 3_000),
    st.booleans(),
)
PRICES = st.decimals("0", "9999", places=4).map(lambda price: UnitPrice(f"{price:f}"))
ITEMS = st.lists(st.tuples(PRICES, st.integers(1, 1_000)), min_size=1, max_size=5)


def filled(items, shipping, currency):
    """A cart with these items."""
    lines = tuple(
        Item(line_id=2 * n, sku=Sku(f"s-{n}"), quantity=quantity, unit_price=price, stocked=True)
        for n, (price, quantity) in enumerate(items, start=1)
    )
    post = Item(line_id=SHIPPING_LINE, sku=Sku("POST"), quantity=1, unit_price=shipping or "0", stocked=False)
    return Cart(
        cart_id=CART,
        customer_id=ADA,
        guest=False,
        currency=currency,
        channel="web",
        lines=lines,
        shipping=None if shipping is None else post,
        changed_at=NOW,
    )


@given(ITEMS, st.none() | PRICES, st.sampled_from(sorted(EXPONENTS)), st.none() | TABLES, st.data())
def test_a_quote_a_checkout_and_an_order_cost_the_same(items, shipping, currency, table, data):
    # medusa 14817: an order whose total is another one than what was shown, or than its parts add up to.
    cart = filled(items, shipping, currency)
    amount = 0 if shipping is None else line_total(1, unit_price=shipping, currency=currency)
    post = None if shipping is None else Shipping(amount=amount, tax_category=STANDARD)
    terms = SaleTerms(jurisdiction=None if table is None else table.jurisdiction)
    sale = basket(cart.lines, shipping=post, currency=currency, at=NOW, terms=terms)
    off = [data.draw(st.integers(0, whole)) for whole in (*subtotals(sale), amount)]
    applied = (AppliedPromotion(SPRING, Minor(sum(off))),)

    quoted = quote(sale, discounts=Discounts(tuple(off[:-1]), off[-1], applied), tax_table=table)
    promised = charge(quoted, cart, promotion_id=None)
    checkout = Checkout(
        checkout_id=CheckoutId(CHECKOUT),
        order_id=OrderId(CHECKOUT),
        country=COUNTRY,
        totals=promised.totals,
        discount=promised.discount,
        prices=(),
        tax=promised.tax,
        started_at=NOW,
        expires_at=NOW,
    )
    (placed,) = orders.place(
        None,
        order_id=checkout.order_id,
        customer_id=ADA,
        placed_at=NOW,
        country=COUNTRY,
        currency=currency,
        lines=requested(cart, checkout),
        buyer=orders.Buyer(promotions=checkout.discount.promotions, tax=checkout.tax),
    )

    parts = [*quoted.lines, *(() if quoted.shipping is None else (quoted.shipping,))]
    assert quoted.totals.grand == promised.totals.grand == placed.total
    assert [part.total for part in parts] == [line.total for line in placed.lines]
    assert sum(off) == sum(each.amount for each in placed.discounts)
    if table is None:
        assert None is placed.tax
        assert sum(subtotals(sale)) + amount - sum(off) == placed.total
    else:
        assert [part.tax.amount for part in parts] == [each.amount for each in placed.tax.lines]
        assert list(range(1, len(parts) + 1)) == [each.line_id for each in placed.tax.lines]
        sums = quoted.totals.tax, quoted.totals.tax_included, quoted.totals.tax_remainder
        assert sums == (placed.tax.amount, placed.tax.included, placed.tax.remainder)
