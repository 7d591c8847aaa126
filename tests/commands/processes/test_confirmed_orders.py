"""The order process once an order is confirmed: it loses its stock, waits for pieces, is cancelled and refunded."""

from functools import partial

import pytest

from counterfoil.testing.scheduling import FOUND_WITHIN, first_problem
from domain.ids import OrderId, RefundId
from domain.inventory import stock_item
from domain.inventory.stock_item import STOCK
from domain.money import Minor, UnitPrice
from domain.ordering import holding
from domain.ordering import order as orders
from domain.ordering.lines import LineRequest
from domain.ordering.order import ORDER, Status
from domain.ordering.purchase import payment_of
from domain.payments import ending, refunding
from domain.payments.payment import PAYMENT
from domain.payments.refunding import RefundRequest
from tests.commands.processes.buying import ID, SKU, TOTAL, asked, run
from tests.commands.processes.test_order_process import (
    CancelledAfterCapture,
    CancelledAfterwards,
    RefundFails,
    Shipped,
    ShortOfStock,
)
from tests.sizes import ORDER_PROCESS


@pytest.fixture
def sold(explored):
    """Explore the schedules of a row; what is wrong by seed."""
    return lambda row: explored(partial(run, row), schedules=ORDER_PROCESS.chosen)


class RefundReversed(CancelledAfterCapture):
    refunded, waits = 0, "refund_reversed"

    def act(self):
        super().act()
        if self.paid is not None and self.paid.refunded:
            back = {"payment_id": payment_of(ID), "number": 1, "now": self.now}
            self.append(PAYMENT, ID, refunding.record_reversed(self.paid, **back))


def test_a_refund_that_comes_back_waits_for_somebody(sold):
    assert {} == sold(RefundReversed)


class RefundedByHand(RefundFails):
    refunded, waits = TOTAL, None

    def act(self):
        super().act()
        if self.paid is not None and len(self.paid.refunds) == ending.TRIES_MAX and not self.paid.refunding:
            by_hand = refunding.record_manual(
                self.paid,
                payment_id=payment_of(ID),
                refund_id=RefundId("transfer"),
                amount=self.paid.refundable,
                reason="cancellation",
                method="bank_transfer",
                reference="",
                now=self.now,
            )
            self.append(PAYMENT, ID, by_hand)


def test_what_was_not_refunded_is_sent_to_another_destination(sold):
    assert {} == sold(RefundedByHand)


class RefundedBefore(CancelledAfterCapture):
    """Before it is cancelled, a refund of goodwill fails as often as one of a cancellation is tried."""

    requested = asked(authorisation=1, capture=1, refund=ending.TRIES_MAX + 1)

    def act(self):
        if self.sold.status is not Status.CONFIRMED or self.paid is None:
            return
        self.capture_by_hand(self.paid)
        if len(self.paid.refunds) == ending.TRIES_MAX and not self.paid.refunding:
            self.cancel()
        elif self.paid.captured and not self.paid.refunding:
            goodwill = RefundRequest(
                refund_id=RefundId(f"goodwill-{len(self.paid.refunds)}"), amount=Minor(1), reason="goodwill"
            )
            of_it = {"payment_id": payment_of(ID), "request": goodwill, "now": self.now}
            self.append(PAYMENT, ID, refunding.refund(self.paid, **of_it))

    def refund(self, payment, number):
        if number > ending.TRIES_MAX:
            return super().refund(payment, number)
        return refunding.record_refund_failed(payment, number=number, code="no", now=self.now)


def test_a_cancelled_order_is_refunded_whatever_came_of_refunds_before(sold):
    assert {} == sold(RefundedBefore)


class StockLost(Shipped):
    """One of the four pieces that are lost is reserved for it; the staff ships it as soon as it may."""

    is_lost = is_replaced = False

    def act(self):
        if self.sold.status is not Status.CONFIRMED:
            return
        if not self.is_lost:
            self.lose_stock(4)
            self.is_lost = True
        elif not self.is_replaced and self.world.chance.random() < 0.3:
            self.receive(3)
            self.is_replaced = True
        self.reserve_again()
        self.ship()
        assert self.is_replaced or self.sold.status is Status.CONFIRMED, "it was shipped without its pieces"

    def wanted(self):
        return {**super().wanted(), "stock": (self.on_hand - 4 + 3 - 2, 0)}


def test_an_order_whose_stock_was_lost_is_held_until_other_pieces_are_reserved(sold):
    assert {} == sold(StockLost)


class CancelledWithoutStock(CancelledAfterwards):
    def act(self):
        if self.sold.status is Status.CONFIRMED:
            if not self.sold.lost:
                self.lose_stock(4)
            self.ship()
            self.cancel()

    def wanted(self):
        return {**super().wanted(), "stock": (1, 0), "holds": ("stock",)}


def test_an_order_that_is_cancelled_for_want_of_lost_stock_releases_nothing_of_others(sold):
    assert {} == sold(CancelledWithoutStock)


class Backordered(Shipped):
    """One of its two pieces is there; the staff ships it as soon as it may, and receives the other at some time."""

    on_hand, backorder_limit = 1, 1
    came = False

    def act(self):
        if self.sold.backordered and not self.came and self.world.chance.random() < 0.3:
            self.receive(1)
            self.came = True
        self.reserve_again()
        self.ship()
        assert self.came or self.sold.status is not Status.SHIPPED, "it was shipped without its pieces"

    def wanted(self):
        return {**super().wanted(), "stock": (0, 0)}


def test_an_order_waits_for_backordered_pieces_and_is_dispatched_once_they_came(sold):
    assert {} == sold(Backordered)


class BehindAnother(Backordered):
    """Another order waits longer: what comes first is that one's."""

    on_hand, backorder_limit = 0, 3
    pieces = 0

    def __init__(self, world):
        super().__init__(world)
        other, now = OrderId("other"), self.now
        its = LineRequest(sku=SKU, quantity=1, unit_price=UnitPrice("1"), stocked=True)
        sale = {"customer_id": None, "placed_at": now, "country": "EIRE", "currency": "EUR", "lines": [its]}
        self.append(ORDER, other, orders.place(None, order_id=other, **sale))
        placed = world.state(ORDER, other)
        confirmed = orders.confirm(placed, order_id=other, now=now)
        waits = holding.backorder(placed, waits_for={SKU: 1}, now=now)
        self.append(ORDER, other, [*confirmed, *waits])
        first = stock_item.promise(world.state(STOCK, SKU), sku=SKU, order_id=other, quantity=1, now=now)
        self.append(STOCK, SKU, first)

    def act(self):
        if self.sold.backordered and self.pieces < 3 and self.world.chance.random() < 0.3:
            self.receive(1)
            self.pieces += 1
        self.ship()
        assert self.pieces == 3 or self.sold.status is not Status.SHIPPED, "it was served first"

    def wanted(self):
        return {**super().wanted(), "stock": (1, 1)}


def test_of_two_orders_that_wait_the_older_gets_what_comes_in(sold):
    assert {} == sold(BehindAnother)


class CancelledWaiting(CancelledAfterwards):
    on_hand, backorder_limit, holds = 1, 1, ("stock",)


def test_an_order_that_is_cancelled_while_it_waits_leaves_nothing_reserved_or_waited_for(sold):
    assert {} == sold(CancelledWaiting)


class MoreThanMayBeBackordered(ShortOfStock):
    on_hand, backorder_limit = 0, 1


def test_an_order_that_wants_more_than_may_be_backordered_is_rejected(sold):
    assert {} == sold(MoreThanMayBeBackordered)


class Elsewhere(Shipped):
    """The main location has one of its two pieces, another has both: so all of it is taken from there."""

    on_hand, elsewhere = 1, {"north": 3}

    def wanted(self):
        return {**super().wanted(), "stock": (2, 0), "elsewhere": {"north": (1, 0)}}


def test_an_order_is_taken_from_another_location_that_has_all_of_it(sold):
    assert {} == sold(Elsewhere)


class Split(Shipped):
    """No location has both: each is taken from as much as it has, in the order of their priorities."""

    on_hand, elsewhere = 1, {"north": 1, "south": 1}

    def wanted(self):
        return {**super().wanted(), "stock": (1, 0), "elsewhere": {"north": (0, 0), "south": (1, 0)}}


def test_an_order_that_no_location_has_is_split_over_several(sold):
    assert {} == sold(Split)


class SplitAndCancelled(CancelledAfterwards):
    on_hand, elsewhere = 1, {"north": 1}

    def wanted(self):
        return {**super().wanted(), "stock": (2, 0), "elsewhere": {"north": (1, 0)}}


def test_an_order_that_is_off_gives_its_pieces_back_where_they_lie(sold):
    assert {} == sold(SplitAndCancelled)


class SplitAndBackordered(Backordered):
    """No location has enough: the rest is waited for, and comes in at one of them."""

    on_hand, elsewhere, backorder_limit = 0, {"north": 1}, 1

    def receive(self, quantity, at="north"):
        super().receive(quantity, at)

    def wanted(self):
        return {**super().wanted(), "elsewhere": {"north": (0, 0)}}


def test_what_no_location_has_is_waited_for(sold):
    assert {} == sold(SplitAndBackordered)


def test_serving_nobody_who_waits_is_found(monkeypatch):
    monkeypatch.setattr(stock_item, "_allocated", lambda _item, events, **_: [*events])

    assert first_problem(partial(run, Backordered)) < FOUND_WITHIN


def test_forgetting_that_a_cancelled_order_waits_is_found(monkeypatch):
    monkeypatch.setattr(stock_item, "_waits_no_more", lambda *_, **__: [])

    assert first_problem(partial(run, CancelledWaiting)) < FOUND_WITHIN
