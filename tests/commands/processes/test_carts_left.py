"""Carts that are left: which timers each event sets, and what they decide on a real log."""

from datetime import timedelta

import pytest

from commands.processes.carts_left import CARTS_LEFT, CHECKOUT, IDLE, OLD
from counterfoil.contexts import CONTEXTS
from domain.cart.cart import CART
from domain.cart.events import CheckoutStarted
from domain.event import type_name
from tests.cart_examples import (
    NOW,
    address_set,
    cart_opened,
    checkout_started,
    item_added,
    item_quantity_changed,
)
from tests.commands.processes.running import append
from tests.commands.processes.timing import AT_ONCE, firing, head, recorded, running_timers, stands
from tests.customer_examples import consent_granted, customer_registered
from tests.projections.feeding import feeding, settle

(TIMERS,) = [view for view in CONTEXTS.timers if view.name == "timers_carts_left"]
LATER = timedelta(days=1)
LEFT = (cart_opened, item_added, address_set)


@pytest.fixture
def url(database_url):
    settle(database_url)
    return database_url


def at_once(**given):
    """A checkout that may take no time."""
    return checkout_started(expires_at=NOW, **given)


def record(url, name, *events):
    if events:
        before = len(recorded(url, f"cart-{name}"))
        append(url, [(f"cart-{name}", before, [event(cart_id=name) for event in events])])
    with feeding(url, [TIMERS]) as feeder:
        feeder.catch_up()
    stands(url, through=head(url), processes=(CARTS_LEFT,), lease="processes:cart")


def fire(url, timer):
    """Have all that is set of one kind be due; checkouts are whenever they end."""
    delays = {each: AT_ONCE if each is timer else LATER for each in (IDLE, OLD)}
    with firing(url, [CARTS_LEFT], delays={**delays, CHECKOUT: AT_ONCE}) as work:
        work.one_pass()


def newest(url, name):
    return recorded(url, f"cart-{name}")[-1].type


def test_a_cart_that_is_left_is_abandoned_or_thawed(url):
    """CartAbandoned needs consent and an address; CheckoutAborted needs nothing but time."""
    append(url, [("customer-17850", 0, [customer_registered(), consent_granted()])])
    record(url, "1", *LEFT)
    record(url, "2", cart_opened, item_added)
    record(url, "3", *LEFT, at_once)

    fire(url, IDLE)
    found = [newest(url, name) for name in "123"]
    assert ["cart.cart_abandoned.v1", "cart.item_added.v1", "cart.checkout_aborted.v1"] == found
    record(url, "1", item_quantity_changed)
    assert ["cart-1", "cart-1"] == [each for each in running_timers(url, TIMERS) if each == "cart-1"]


def test_a_cart_that_is_left_for_long_expires(url):
    """CartExpired needs nothing but time, also while a checkout goes on."""
    record(url, "1", cart_opened, item_added)
    record(url, "2", *LEFT, checkout_started)

    fire(url, OLD)
    assert ["cart.cart_expired.v1"] * 2 == [newest(url, name) for name in "12"]
    record(url, "1")
    assert [] == running_timers(url, TIMERS)


def test_a_checkout_that_goes_on_is_not_aborted(url):
    record(url, "1", *LEFT, checkout_started)

    fire(url, IDLE)

    assert "cart.checkout_started.v1" == newest(url, "1")


def test_nobody_is_noted_who_did_not_consent(url):
    append(url, [("customer-17850", 0, [customer_registered()])])
    record(url, "1", *LEFT)

    fire(url, IDLE)

    assert "cart.address_set.v1" == newest(url, "1")


def test_every_event_of_a_cart_sets_or_clears_its_timers():
    """An event of a cart that is declared later has to say which."""
    passed = {
        timer: {type_name(event) for event in CART.events if event not in {*timer.sets, *timer.clears}}
        for timer in (IDLE, OLD)
    }

    assert {IDLE: {"cart.cart_opened.v1"}, OLD: {"cart.cart_abandoned.v1"}} == passed
    assert {CheckoutStarted} == CHECKOUT.sets.keys()
