"""What the process of labels decides, and where it runs."""

from pydantic import SecretStr

from commands.decision import Decision
from commands.processes.carts_left import CARTS_LEFT
from commands.processes.closing import CLOSING
from commands.processes.credit_expiry import CREDIT_EXPIRY
from commands.processes.credit_holds import CREDIT_HOLDS
from commands.processes.fulfilment import FULFILMENT
from commands.processes.labels import LABELS, order_and_shipment, request
from commands.processes.purchases import PURCHASES
from commands.processes.restock import RESTOCK
from counterfoil.contexts import CONTEXTS
from domain.ordering.order import ORDER
from domain.shipping.shipment import SHIPMENT
from runtime.settings import Settings
from tests.commands.processes.viewing import ORDER_ID, after
from tests.examples import LINES, NOW, confirmed, label_requested, placed, shipped

CREDIT = (CREDIT_EXPIRY, CREDIT_HOLDS)
LEFT = (placed(), confirmed(), shipped())


def test_a_shipped_order_gets_a_label():
    decision = request(shipped(), after(order=LEFT), NOW)

    assert Decision(((SHIPMENT, ORDER_ID, label_requested()),)) == decision
    assert [(ORDER, ORDER_ID), (SHIPMENT, ORDER_ID)] == order_and_shipment(shipped())


def test_an_order_of_services_gets_none():
    order = (placed(lines=(LINES[1],)), confirmed(), shipped(skus=()))

    assert Decision() == request(shipped(skus=()), after(order=order), NOW)


def test_a_label_that_a_caller_requested_before_is_not_requested_again():
    view = after(order=LEFT, shipment=(label_requested(),))

    assert Decision() == request(shipped(), view, NOW)


def test_it_runs_only_where_a_carrier_is_configured():
    without = Settings(database_url=SecretStr("postgresql://nowhere"))
    with_one = Settings(carrier_url="http://127.0.0.1:1")
    always = (FULFILMENT, RESTOCK, PURCHASES, CARTS_LEFT)

    assert (*always, *CREDIT, CLOSING) == CONTEXTS.processes_of(without)
    assert (*always, LABELS, *CREDIT, CLOSING) == CONTEXTS.processes_of(with_one)
    assert () == CONTEXTS.gateways_of(without)
