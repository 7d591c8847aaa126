"""What the business has counted: each committed event once, whatever is started again or rebuilt."""

from prometheus_client import CollectorRegistry

from counterfoil.contexts import CONTEXTS
from projections import rebuild
from projections.measure import Measures
from projections.ordering.views import order_details, order_history
from projections.view import KEYED
from tests.examples import cancelled, confirmed, placed, rejected, shipped
from tests.payment_examples import ONE_OF_EACH
from tests.projections.feeding import append, feeding

ORDER = "order-536365"


def counted(registry, name, *labels):
    return registry.get_sample_value(f"{name}_total", dict(zip(("outcome", "reason"), labels, strict=False)))


def test_orders_are_counted_by_outcome_and_reason_and_payments_by_outcome():
    registry = CollectorRegistry()
    measures = Measures(CONTEXTS.measures, registry)
    for event in (placed(), confirmed(), shipped(), rejected(), cancelled(reason="fraud"), *ONE_OF_EACH):
        measures.count(event)

    for labels in (
        ("placed", ""),
        ("confirmed", ""),
        ("shipped", ""),
        ("rejected", "stock"),
        ("cancelled", "fraud"),
    ):
        assert 1 == counted(registry, "counterfoil_orders", *labels)
    for outcome in ("authorised", "declined", "uncertain", "refund_failed", "chargeback_lost"):
        assert 1 == counted(registry, "counterfoil_payments", outcome)
    for outcome in ("captured", "refunded"):
        assert 2 == counted(registry, "counterfoil_payments", outcome), "one of them by hand"


def test_every_event_that_is_counted_is_folded_by_a_keyed_view():
    folded = {event for view in CONTEXTS.views if view.kind is KEYED for event in view.folds}

    assert {event for measure in CONTEXTS.measures for event in measure.of} <= folded


def test_a_committed_event_is_counted_once_also_after_a_restart_and_while_a_view_is_rebuilt(database_url):
    append(database_url, [(ORDER, placed())])
    with feeding(database_url, [order_details, order_history], measures=CONTEXTS.measures) as feeder:
        feeder.catch_up()
        first = counted(feeder.registry, "counterfoil_orders", "placed", "")
    append(database_url, [(ORDER, confirmed())])
    with feeding(database_url, [order_details, order_history], measures=CONTEXTS.measures) as feeder:
        list(rebuild.rebuild(database_url, order_details))
        feeder.catch_up()
        again = counted(feeder.registry, "counterfoil_orders", "placed", "")
        confirmations = counted(feeder.registry, "counterfoil_orders", "confirmed", "")
    append(database_url, [(ORDER, cancelled())])
    with feeding(database_url, [order_history], measures=CONTEXTS.measures, group="deferred") as feeder:
        feeder.catch_up()  # which others count
        cancellations = counted(feeder.registry, "counterfoil_orders", "cancelled", "")

    assert (1, None, 1, None) == (first, again, confirmations, cancellations)
