"""What a paid checkout writes down, event by event: no more than somebody would ask about a year later."""

from collections import Counter

from commands import catalogue, customers, inventory
from commands.cart import checking_out, filling
from commands.processes.order_mails import ORDER_MAILS
from domain.cart.cart import CART
from tests.simulation.shop import PROCESSES, Shop

BUDGET = 12


def test_a_checkout_with_a_payment_takes_no_more_events_than_its_budget():
    """All that the shop appends by itself. The mail server answers each mail by one event more."""
    shop = Shop(1, processes=(*PROCESSES, ORDER_MAILS))
    product = {"sku": "A", "title": "A", "stocked": True, "unit_price": "1", "currency": "GBP"}
    assert shop.ask(catalogue.create_product, **product)
    assert shop.ask(inventory.receive_stock, "A", quantity=1)
    assert shop.ask(customers.register_customer, customer_id="c1", country="Italy")
    cart_id = shop.ask(filling.open_cart, currency="GBP", by="c1").identifier
    assert shop.ask(filling.add_item, cart_id, sku="A", quantity=1, by="c1")
    before = shop.log.position

    started = shop.ask(checking_out.start_checkout, cart_id, country="Italy", by="c1")
    assert started
    order = {"checkout_id": shop.now(CART, cart_id).checkout.checkout_id, "method_ref": "pm_visa"}
    assert shop.ask(checking_out.check_out, cart_id, **order, contact={"email": "a@example.org"}, by="c1")
    for _ in range(3):
        list(shop.note())
        shop.go_on()
    events = Counter(event.type.rpartition(".")[0] for event in shop.log.events[before:])

    assert {
        "cart.checkout_started": 1,
        "cart.cart_checked_out": 1,
        "ordering.order_placed": 1,
        "inventory.stock_reserved": 1,
        "ordering.purchase_begun": 1,
        "payments.payment_created": 1,
        "payments.authorisation_requested": 1,
        "payments.payment_authorised": 1,
        "payments.psp_event_ingested": 1,
        "ordering.order_confirmed": 1,
        "mail.mail_requested": 2,
    } == events
    assert BUDGET >= events.total()
