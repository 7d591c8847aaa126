"""The whole shop as a state machine: pieces and money are conserved whatever anybody does, whichever process dies."""

import itertools

import hypothesis
import pytest
from hypothesis import Phase
from hypothesis.stateful import run_state_machine_as_test
from msgspec.structs import replace

from commands import amounts_held, coupons, lost_parcels
from commands.cart import checking_out
from commands.gateways.gateway import Gateway
from commands.processes import credit_holds, fulfilment, reserving
from domain.cart import cart_merging, checkout
from domain.inventory import locations as locating
from domain.inventory import stock_item
from domain.inventory.stock_item import StockItem
from domain.ordering import holding
from domain.ordering import order as ordering
from domain.payments import capturing, ending, store_credit
from domain.payments.events import CreditReturned, ManualRefundRecorded, PaymentCaptured
from domain.pricing import evaluation
from domain.pricing.coupon import Uses
from domain.pricing.price_lists import PriceLists
from domain.shipping.shipment import Shipment
from projections.payments import folds
from tests.simulation.shop import Shop
from tests.simulation.shopping import Shopping
from tests.sizes import SHOP

STEPS = 40
FOUND_WITHIN = 1_000
"""Runs within which a planted defect has to show."""


def explore(**settings):
    run_state_machine_as_test(
        Shopping, settings=hypothesis.settings(stateful_step_count=STEPS, deadline=None, **settings)
    )


@pytest.mark.slow
def test_pieces_and_money_are_conserved_whatever_anybody_does():
    explore(max_examples=SHOP.chosen)


def release_one_piece_less(monkeypatch):
    def release(item, *, quantity, **given):
        return true_release(item, quantity=max(1, quantity - 1), **given)

    true_release = stock_item.release
    monkeypatch.setattr(stock_item, "release", release)


def count_captures_twice(monkeypatch):
    monkeypatch.setitem(folds._SUMS, PaymentCaptured, {"captured": 2})


def let_nothing_go(monkeypatch):
    monkeypatch.setattr(ending, "let_go", lambda _payment, **_given: [])


def leave_what_pays_instead_to_people(monkeypatch):
    true_payments = amounts_held._payments
    monkeypatch.setattr(amounts_held, "_payments", lambda *given: true_payments(*given)[:1])


def ask_under_another_key_each_time(monkeypatch):
    def key(self, effect, intent, **given):
        number, _, attempt = true_key(self, effect, intent, **given).rpartition(":")
        return f"{number}:{attempt}{next(numbers)}"

    true_key, numbers = Gateway.key, itertools.count()
    monkeypatch.setattr(Gateway, "key", key)


def record_captures_as_often_as_they_are_said(monkeypatch):
    def found(payment, number):
        return next((each for each in payment.captures.items() if each[1].number == number), None)

    def send(shop, *given, **named):
        true_send(shop, *given, **named)
        for webhook in shop.provider.webhooks:
            shop.deliver(
                webhook
            )  # few of them are of captures that a sender has recorded, and many runs had none

    true_send = Shop.send
    monkeypatch.setattr(Shop, "send", send)
    monkeypatch.setattr(capturing, "_pending", found)


def drop_lines_of_the_other_cart(monkeypatch):
    def lines(cart, source, **given):
        return true_lines(cart, replace(source, lines=source.lines[1:]), **given)

    true_lines = cart_merging._lines
    monkeypatch.setattr(cart_merging, "_lines", lines)


def ship_what_is_held(monkeypatch):
    def ship(order, **given):
        return true_ship(order and replace(order, holds=()), **given)

    true_ship = ordering.ship
    monkeypatch.setattr(ordering, "ship", ship)


def write_off_without_a_hold(monkeypatch):
    def lose_stock(order, **given):
        return true_lose(order, **given)[:1]

    true_lose = holding.lose_stock
    monkeypatch.setattr(holding, "lose_stock", lose_stock)


def keep_coupons_of_orders_that_are_off(monkeypatch):
    monkeypatch.setattr(fulfilment, "released_in", lambda *_, **__: ())


def forget_how_often_coupons_were_redeemed(monkeypatch):
    for module in (coupons, checking_out):
        monkeypatch.setattr(module, "uses_in", lambda *_, **__: Uses())


def round_discounts_up(monkeypatch):
    monkeypatch.setattr(evaluation, "share", lambda whole, part, of, **_: -(-whole * part // of))


def count_refunds_by_hand_twice(monkeypatch):
    monkeypatch.setitem(folds._SUMS, ManualRefundRecorded, {"refunded": 2})


def forget_the_next_expiry(monkeypatch):
    monkeypatch.setattr(store_credit, "_is_unscheduled", lambda *_, **__: False)


def keep_credit_that_was_spent(monkeypatch):
    monkeypatch.setattr(store_credit, "_return", lambda *_, **__: [])


def keep_credit_of_orders_that_are_off(monkeypatch):
    monkeypatch.setattr(credit_holds, "given_back", lambda *_, **__: ())


def keep_credit_of_lost_parcels(monkeypatch):
    monkeypatch.setattr(lost_parcels, "_credited", lambda *_, **__: ())


def have_refunded_orders_paid(monkeypatch):
    monkeypatch.setattr(Shipment, "is_refunded", False)


def give_spent_credit_back_twice(monkeypatch):
    def give_back(credit, **given):
        back = true_give_back(credit, **given)
        again = [replace(each, credit_id="again") for each in back if isinstance(each, CreditReturned)]
        return [*back, *again]

    true_give_back = store_credit.give_back
    monkeypatch.setattr(store_credit, "give_back", give_back)


def give_more_back_than_was_spent(monkeypatch):
    def returned(credit, hold_id, spent, **given):
        return true_return(credit, hold_id, replace(spent, amount=2 * spent.amount), **given)

    true_return = store_credit._return
    monkeypatch.setattr(store_credit, "_return", returned)


def give_credit_back_for_pieces_that_are_sent_again(monkeypatch):
    def sent_again(shipment, order_id, view, now):
        return (*true_sent_again(shipment, order_id, view, now), *lost_parcels._credited(order_id, view, now))

    true_sent_again = lost_parcels._sent_again
    monkeypatch.setattr(lost_parcels, "_sent_again", sent_again)


def say_nothing_of_where_pieces_leave(monkeypatch):
    def given_back(*given, leave=False, **named):
        yield from true_given_back(*given, **named)

    true_given_back = stock_item._given_back
    monkeypatch.setattr(stock_item, "_given_back", given_back)


def serve_nobody_who_waits(monkeypatch):
    monkeypatch.setattr(stock_item, "_allocated", lambda _item, events, **_: [*events])


def let_one_piece_more_be_waited_for(monkeypatch):
    def orderable(item, locations):
        return true_orderable(item, locations) + 1

    true_orderable = StockItem.orderable
    monkeypatch.setattr(StockItem, "orderable", orderable)


def plan_over_closed_locations(monkeypatch):
    monkeypatch.setattr(reserving, "open_locations", locating._known)


def forget_that_it_was_waited_for(monkeypatch):
    monkeypatch.setattr(holding, "fill_backorder", lambda _order, **_: [])


def give_everybody_the_prices_of_groups(monkeypatch):
    def holding_for(chosen, _group):
        return tuple(each.list_id for each in chosen.lists)

    monkeypatch.setattr(PriceLists, "holding_for", holding_for)


def ask_the_last_price_list_first(monkeypatch):
    def holding_for(chosen, group):
        return true_holding_for(chosen, group)[::-1]

    true_holding_for = PriceLists.holding_for
    monkeypatch.setattr(PriceLists, "holding_for", holding_for)


def keep_prices_that_fell(monkeypatch):
    monkeypatch.setattr(checkout, "with_prices", lambda cart, _changed: cart)


@pytest.mark.parametrize(
    "plant",
    [
        release_one_piece_less,
        count_captures_twice,
        let_nothing_go,
        leave_what_pays_instead_to_people,
        ask_under_another_key_each_time,
        record_captures_as_often_as_they_are_said,
        drop_lines_of_the_other_cart,
        ship_what_is_held,
        write_off_without_a_hold,
        keep_coupons_of_orders_that_are_off,
        forget_how_often_coupons_were_redeemed,
        round_discounts_up,
        count_refunds_by_hand_twice,
        forget_the_next_expiry,
        keep_credit_that_was_spent,
        keep_credit_of_orders_that_are_off,
        keep_credit_of_lost_parcels,
        have_refunded_orders_paid,
        give_spent_credit_back_twice,
        give_more_back_than_was_spent,
        give_credit_back_for_pieces_that_are_sent_again,
        say_nothing_of_where_pieces_leave,
        serve_nobody_who_waits,
        let_one_piece_more_be_waited_for,
        plan_over_closed_locations,
        forget_that_it_was_waited_for,
        give_everybody_the_prices_of_groups,
        ask_the_last_price_list_first,
        keep_prices_that_fell,
    ],
)
def test_a_planted_defect_is_found(plant, monkeypatch):
    plant(monkeypatch)

    with pytest.raises(AssertionError):
        explore(
            max_examples=FOUND_WITHIN,
            phases=(Phase.generate,),
            derandomize=True,
            database=None,
            report_multiple_bugs=False,
        )
