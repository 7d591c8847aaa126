import time
from datetime import timedelta, timezone
from typing import Any

import pytest
from msgspec.structs import replace

from counterfoil.testing.spec import given
from domain.ids import CouponId, PriceId, PriceListId, PromotionId
from domain.money import AmountTooLarge, MalformedUnitPrice, Minor, UnitPrice, UnknownCurrency
from domain.ordering import order
from domain.ordering.events import PaymentTerms, Shortage
from domain.ordering.lines import LINES_MAX, LineCountOutOfRange, LineRequest
from domain.ordering.order import (
    AlreadyCancelled,
    AlreadyConfirmed,
    AlreadyRejected,
    AlreadyShipped,
    NotConfirmed,
    OrderIdTaken,
    OrderIsHeld,
    OrderUnknown,
)
from domain.promotion_terms import PromotionDiscount
from domain.quantity import QUANTITY_MAX, QuantityOutOfRange
from domain.sale_terms import LinePrice
from tests.cart_examples import line_tax, sale_tax
from tests.examples import (
    COUNTRY,
    CUSTOMER,
    GBP,
    LONG_AGO,
    NOW,
    ORDER,
    POSTAGE,
    REQUESTS,
    SKU,
    cancelled,
    confirmed,
    placed,
    rejected,
    shipped,
)
from tests.purchase_examples import hold_lifted, order_held

PLACE = {
    "order_id": ORDER,
    "customer_id": CUSTOMER,
    "placed_at": LONG_AGO,
    "country": COUNTRY,
    "currency": GBP,
    "lines": REQUESTS,
}
CONFIRM = {"order_id": ORDER, "now": NOW}
SHIP = CONFIRM
CANCEL = {"order_id": ORDER, "reason": "customer", "now": NOW}
SHORT = (Shortage(sku=SKU, requested=3, available=1),)
REJECT = {"order_id": ORDER, "missing": SHORT, "now": NOW}


def line(**changes: Any) -> LineRequest:
    asked: dict[str, Any] = {"sku": SKU, "quantity": 1, "unit_price": UnitPrice("1"), "stocked": True}
    return LineRequest(**(asked | changes))


def test_an_order_is_placed_with_its_lines_numbered_and_priced():
    given().when(order.place, **PLACE).then(placed())


def test_a_total_is_after_what_promotions_take_off_its_lines():
    lines = (line(quantity=2, discount=Minor(40)), line(), line(discount=Minor(100)))
    promotions = (
        PromotionDiscount(promotion_id=PromotionId("spring"), code=CouponId("SPRING10"), amount=Minor(120)),
        PromotionDiscount(promotion_id=PromotionId("sale"), code=None, amount=Minor(20)),
    )
    cheaper = PLACE | {"lines": lines, "buyer": order.Buyer(promotions=promotions)}

    (event,) = given().when(order.place, **cheaper).decided

    assert ([160, 100, 0], 260) == ([each.total for each in event.lines], event.total)
    assert [(1, 40), (3, 100)] == [(each.line_id, each.amount) for each in event.discounts]
    assert promotions == event.promotions
    (confirmation,) = given(event).when(order.confirm, **CONFIRM).decided
    assert (260, [260]) == (confirmation.total, [each.total for each in confirmation.skus])


def test_a_total_has_the_tax_that_is_added_to_what_its_lines_cost_after_discounts():
    taxes = (line_tax(32, line_id=7), line_tax(17, line_id=0, included=True))
    off = PromotionDiscount(promotion_id=PromotionId("sale"), code=None, amount=Minor(40))
    of_list = LinePrice(line_id=9, list_id=PriceListId("retail"), price_id=PriceId("p-1"))
    lines = (
        line(quantity=2, discount=Minor(40), tax=taxes[0]),
        line(tax=taxes[1], price=of_list),
    )
    buyer = order.Buyer(promotions=(off,), tax=sale_tax(*taxes, remainder=1))

    (event,) = given().when(order.place, **PLACE | {"lines": lines, "buyer": buyer}).decided

    assert ([192, 100], 292) == ([each.total for each in event.lines], event.total)
    numbered = sale_tax(line_tax(32, line_id=1), line_tax(17, line_id=2, included=True), remainder=1)
    assert numbered == event.tax
    assert (replace(of_list, line_id=2),) == event.prices
    (confirmation,) = given(event).when(order.confirm, **CONFIRM).decided
    assert 292 == confirmation.total


def test_an_order_that_costs_nothing_after_its_discounts_waits_for_no_payment():
    free = PromotionDiscount(promotion_id=PromotionId("gift"), code=CouponId("GIFT"), amount=Minor(100))
    buyer = order.Buyer(payment=PaymentTerms(method_ref="pm_visa"), promotions=(free,))

    (event,) = (
        given().when(order.place, **PLACE | {"lines": (line(discount=Minor(100)),), "buyer": buyer}).decided
    )

    assert (0, None) == (event.total, event.payment)


def test_an_order_id_is_used_once():
    given(placed()).when(order.place, **PLACE).then_refused(OrderIdTaken, order_id=ORDER)


def test_an_order_may_be_anonymous():
    given().when(order.place, **PLACE | {"customer_id": None}).then(placed(customer_id=None))


def test_the_day_of_an_order_is_its_day_in_utc():
    there = LONG_AGO.astimezone(timezone(timedelta(hours=14)))

    given().when(order.place, **PLACE | {"placed_at": there}).then(placed())
    (event,) = given().when(order.place, **PLACE | {"placed_at": there}).decided

    assert event.placed_at.utcoffset() == timedelta(0)


@pytest.mark.parametrize("count", [0, LINES_MAX + 1])
def test_an_order_has_a_line_and_not_too_many(count):
    given().when(order.place, **PLACE | {"lines": [line()] * count}).then_refused(
        LineCountOutOfRange, lines=count, limit=LINES_MAX
    )


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"quantity": 0}, QuantityOutOfRange),
        ({"quantity": QUANTITY_MAX + 1}, QuantityOutOfRange),
        ({"unit_price": "free"}, MalformedUnitPrice),
        ({"quantity": QUANTITY_MAX, "unit_price": "1000000"}, AmountTooLarge),
    ],
)
def test_a_line_that_cannot_be_priced_is_refused(changes, refusal):
    given().when(order.place, **PLACE | {"lines": [line(), line(**changes)]}).then_refused(refusal)


def test_an_order_in_no_known_currency_is_refused():
    given().when(order.place, **PLACE | {"currency": "XXX"}).then_refused(UnknownCurrency, currency="XXX")


def test_a_confirmation_repeats_what_sales_are_counted_by():
    given(placed()).when(order.confirm, **CONFIRM).then(confirmed())


def test_a_rejection_names_what_is_missing():
    given(placed()).when(order.reject, **REJECT).then(rejected(missing=SHORT))


def test_an_order_that_nobody_decided_is_rejected_for_that():
    given(placed()).when(order.reject_undecided, **CONFIRM).then(rejected(reason="undecided", missing=()))


@pytest.mark.parametrize("decided", [(confirmed(),), (confirmed(), shipped()), (rejected(),), (cancelled(),)])
def test_an_order_that_was_decided_in_the_end_stays_as_it_is(decided):
    given(placed(), *decided).when(order.reject_undecided, **CONFIRM).then()


def test_a_placed_order_is_cancelled_without_having_been_a_sale():
    given(placed()).when(order.cancel, **CANCEL).then(cancelled(was_confirmed=False))


def test_a_confirmed_order_is_cancelled_and_was_a_sale():
    given(placed(), confirmed()).when(order.cancel, **CANCEL).then(cancelled(was_confirmed=True))


def test_a_shipment_takes_the_stocked_codes_along():
    given(placed(), confirmed()).when(order.ship, **SHIP).then(shipped())


def test_an_order_is_held_until_each_of_its_holds_is_lifted():
    held = (placed(), confirmed(), order_held(), order_held(reason="fraud"), hold_lifted())

    given(*held).when(order.ship, **SHIP).then_refused(OrderIsHeld, reasons=("fraud",))
    given(*held, hold_lifted(reason="fraud")).when(order.ship, **SHIP).then(shipped())


def test_a_held_order_is_confirmed_and_cancelled_as_any_other():
    given(placed(), order_held()).when(order.confirm, **CONFIRM).then(confirmed())
    given(placed(), confirmed(), order_held()).when(order.cancel, **CANCEL).then(cancelled())


def test_an_order_of_services_only_ships_no_code():
    postage = [line(sku=POSTAGE, stocked=False)]
    (event,) = given().when(order.place, **PLACE | {"lines": postage}).decided
    (confirmation,) = given(event).when(order.confirm, **CONFIRM).decided

    given(event, confirmation).when(order.ship, **SHIP).then(shipped(skus=()))


@pytest.mark.parametrize(
    ("history", "decision", "inputs"),
    [
        ((confirmed(),), order.confirm, CONFIRM),
        ((confirmed(), shipped()), order.confirm, CONFIRM),
        ((rejected(),), order.reject, REJECT),
        ((cancelled(),), order.cancel, CANCEL),
        ((confirmed(), shipped()), order.ship, SHIP),
    ],
)
def test_asking_again_for_what_already_holds_decides_nothing(history, decision, inputs):
    given(placed(), *history).when(decision, **inputs).then()


@pytest.mark.parametrize(
    ("history", "decision", "inputs", "refusal", "facts"),
    [
        ((rejected(),), order.confirm, CONFIRM, AlreadyRejected, {"status": "rejected"}),
        ((cancelled(),), order.confirm, CONFIRM, AlreadyCancelled, {"status": "cancelled"}),
        ((confirmed(),), order.reject, REJECT, AlreadyConfirmed, {"status": "confirmed"}),
        ((confirmed(), shipped()), order.reject, REJECT, AlreadyConfirmed, {"status": "shipped"}),
        ((cancelled(),), order.reject, REJECT, AlreadyCancelled, {"status": "cancelled"}),
        ((confirmed(), shipped()), order.cancel, CANCEL, AlreadyShipped, {"shipped_at": NOW}),
        ((rejected(),), order.cancel, CANCEL, AlreadyRejected, {"status": "rejected"}),
        ((), order.ship, SHIP, NotConfirmed, {"status": "placed"}),
        ((rejected(),), order.ship, SHIP, NotConfirmed, {"status": "rejected"}),
        ((confirmed(), cancelled()), order.ship, SHIP, NotConfirmed, {"status": "cancelled"}),
        ((order_held(),), order.ship, SHIP, NotConfirmed, {"status": "placed"}),
        ((confirmed(), order_held()), order.ship, SHIP, OrderIsHeld, {"reasons": ("payment",)}),
    ],
)
def test_an_order_goes_only_forward(history, decision, inputs, refusal, facts):
    given(placed(), *history).when(decision, **inputs).then_refused(refusal, order_id=ORDER, **facts)


@pytest.mark.parametrize(
    ("decision", "inputs"),
    [
        (order.confirm, CONFIRM),
        (order.reject, REJECT),
        (order.cancel, CANCEL),
        (order.ship, SHIP),
    ],
)
def test_what_was_never_ordered_cannot_be_decided_about(decision, inputs):
    given().when(decision, **inputs).then_refused(OrderUnknown, order_id=ORDER)


def test_the_largest_order_is_cheap():
    lines = [line(sku=f"{number % 1500:05}A") for number in range(LINES_MAX)]
    began = time.process_time()

    (event,) = given().when(order.place, **PLACE | {"lines": lines}).decided
    (confirmation,) = given(event).when(order.confirm, **CONFIRM).decided
    given(event, confirmation).when(order.ship, **SHIP)

    # About 10 ms of its own time; work that grows with the square of the lines takes seconds.
    assert time.process_time() - began < 0.5
