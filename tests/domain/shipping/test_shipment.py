import pytest

from counterfoil.testing.spec import given
from domain.event import partition_key_of
from domain.ordering.order import ORDER as ORDERS
from domain.shipping import shipment
from domain.shipping.shipment import NothingToSend
from tests.examples import COUNTRY, NOW, ORDER, label_bought, label_refused, label_requested

CONTENTS = label_requested().contents
REQUEST = {"order_id": ORDER, "country": COUNTRY, "contents": CONTENTS, "now": NOW}
LABEL = {"label_id": "L-000017", "tracking": "CF000000017GB", "now": NOW}
REFUSAL = {"reason": "no service to there", "now": NOW}


def test_a_label_is_requested():
    given().when(shipment.request_label, **REQUEST).then(label_requested())


@pytest.mark.parametrize("facts", [(), (label_bought(),)], ids=["requested", "labelled"])
def test_a_label_that_was_requested_or_bought_is_not_requested_again(facts):
    given(label_requested(), *facts).when(shipment.request_label, **REQUEST).then()


def test_after_a_refusal_a_new_attempt_is_made():
    refused = given(label_requested(), label_refused())

    refused.when(shipment.request_label, **REQUEST).then(label_requested(attempt=2))


def test_an_empty_parcel_needs_no_label():
    empty = {**REQUEST, "contents": ()}

    given().when(shipment.request_label, **empty).then_refused(NothingToSend, order_id=ORDER)


def test_the_carrier_s_answer_is_recorded_once():
    requested = given(label_requested())

    requested.when(shipment.record_label, attempt=1, **LABEL).then(label_bought())
    requested.when(shipment.record_refusal, attempt=1, **REFUSAL).then(label_refused())


@pytest.mark.parametrize("first", [label_bought(), label_refused()], ids=["labelled", "refused"])
def test_an_attempt_that_has_its_answer_takes_no_other(first):
    answered = given(label_requested(), first)

    answered.when(shipment.record_label, attempt=1, **LABEL).then()
    answered.when(shipment.record_refusal, attempt=1, **REFUSAL).then()


def test_an_answer_to_an_earlier_attempt_says_nothing_of_the_newest():
    again = given(label_requested(), label_refused(), label_requested(attempt=2))

    again.when(shipment.record_label, attempt=1, **LABEL).then()
    again.when(shipment.record_label, attempt=2, **LABEL).then(label_bought(attempt=2))


@pytest.mark.parametrize("event", [label_requested(), label_bought(), label_refused()])
def test_every_event_lies_in_the_partition_of_its_order(event):
    assert ORDERS.stream(ORDER) == partition_key_of(event)
