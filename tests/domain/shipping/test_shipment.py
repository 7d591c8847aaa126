import pytest

from counterfoil.testing.spec import given
from domain.event import partition_key_of
from domain.ordering.order import ORDER as ORDERS
from domain.shipping import shipment
from domain.shipping.shipment import LabelNotAwaited, NothingToSend, NotLost, NotUnderWay, SettledOtherwise
from tests.examples import COUNTRY, NOW, ORDER, label_bought, label_refused, label_requested
from tests.purchase_examples import loss_claimed, loss_settled, manual_label_recorded, parcel_lost

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


LABELLED = (label_requested(), label_bought())
LOST = (*LABELLED, parcel_lost())
OF_ORDER = {"order_id": ORDER, "now": NOW}


def test_a_parcel_is_lost_once():
    given(*LABELLED).when(shipment.record_loss, reason="carrier", **OF_ORDER).then(parcel_lost())
    given(*LOST).when(shipment.record_loss, reason="destroyed", **OF_ORDER).then()


@pytest.mark.parametrize("facts", [(), (label_requested(),), (label_requested(), label_refused())])
def test_what_has_no_label_is_not_lost(facts):
    given(*facts).when(shipment.record_loss, reason="carrier", **OF_ORDER).then_refused(NotUnderWay)


def test_a_loss_is_claimed_under_each_number_once_also_after_it_was_settled():
    given(*LOST).when(shipment.record_claim, claim="CL-000017", **OF_ORDER).then(loss_claimed())
    given(*LOST, loss_claimed()).when(shipment.record_claim, claim="CL-000017", **OF_ORDER).then()
    given(*LOST, loss_settled()).when(shipment.record_claim, claim="CL-000017", **OF_ORDER).then(
        loss_claimed()
    )
    given(*LABELLED).when(shipment.record_claim, claim="CL-000017", **OF_ORDER).then_refused(NotLost)


def test_a_loss_is_settled_once():
    replaced = loss_settled(remedy="replacement")
    lost = given(*LOST)

    lost.when(shipment.settle_loss, remedy="refund", **OF_ORDER).then(loss_settled())
    lost.when(shipment.settle_loss, remedy="replacement", **OF_ORDER).then(
        replaced, label_requested(attempt=2)
    )
    given(*LOST, loss_settled()).when(shipment.settle_loss, remedy="refund", **OF_ORDER).then()
    given(*LOST, replaced, label_requested(attempt=2)).when(
        shipment.settle_loss, remedy="refund", **OF_ORDER
    ).then_refused(SettledOtherwise, settled_by="replacement")
    given(*LABELLED).when(shipment.settle_loss, remedy="refund", **OF_ORDER).then_refused(NotLost)


def test_the_replacement_may_be_lost_too():
    again = (*LOST, loss_settled(remedy="replacement"), label_requested(attempt=2), label_bought(attempt=2))
    second = parcel_lost(attempt=2)

    given(*again).when(shipment.record_loss, reason="carrier", **OF_ORDER).then(second)
    given(*again, second).when(shipment.settle_loss, remedy="refund", **OF_ORDER).then(
        loss_settled(attempt=2)
    )


BY_HAND = {**REQUEST, "tracking": "BY-HAND-17"}
HAND_LOST = (manual_label_recorded(), parcel_lost())
REPLACED = (*HAND_LOST, loss_settled(remedy="replacement"))


def test_a_label_that_was_bought_by_hand_is_recorded_once():
    given().when(shipment.record_manual_label, **BY_HAND).then(manual_label_recorded())
    given(manual_label_recorded()).when(shipment.record_manual_label, **BY_HAND).then()
    given(label_requested(), label_refused()).when(shipment.record_manual_label, **BY_HAND).then(
        manual_label_recorded(attempt=2)
    )
    given(manual_label_recorded()).when(shipment.request_label, **REQUEST).then()


def test_no_label_is_recorded_by_hand_for_an_empty_parcel():
    empty = {**BY_HAND, "contents": ()}

    given().when(shipment.record_manual_label, **empty).then_refused(NothingToSend, order_id=ORDER)


@pytest.mark.parametrize(
    ("facts", "status"),
    [
        ((label_requested(),), "requested"),
        (LABELLED, "labelled"),
        ((manual_label_recorded(tracking="ANOTHER"),), "labelled"),
        (HAND_LOST, "lost"),
        ((*HAND_LOST, loss_settled()), "lost"),
        ((*LABELLED, parcel_lost()), "lost"),
    ],
)
def test_no_label_is_recorded_by_hand_where_none_is_waited_for(facts, status):
    given(*facts).when(shipment.record_manual_label, **BY_HAND).then_refused(
        LabelNotAwaited, order_id=ORDER, status=status
    )


def test_a_parcel_whose_label_was_bought_by_hand_is_lost_and_replaced_by_another_one():
    again = {**BY_HAND, "tracking": "BY-HAND-18"}
    second = manual_label_recorded(attempt=2, tracking="BY-HAND-18")

    given(manual_label_recorded()).when(shipment.record_loss, reason="carrier", **OF_ORDER).then(
        parcel_lost()
    )
    given(*HAND_LOST).when(shipment.settle_loss, remedy="replacement", **OF_ORDER).then(REPLACED[-1])
    given(*REPLACED).when(shipment.settle_loss, remedy="replacement", **OF_ORDER).then()
    given(*REPLACED).when(shipment.settle_loss, remedy="refund", **OF_ORDER).then_refused(SettledOtherwise)
    given(*REPLACED).when(shipment.record_loss, reason="carrier", **OF_ORDER).then_refused(NotUnderWay)
    given(*REPLACED).when(shipment.record_manual_label, **again).then(second)
    given(*REPLACED).when(shipment.request_label, **REQUEST).then(label_requested(attempt=2))
    given(*REPLACED, second).when(shipment.record_loss, reason="carrier", **OF_ORDER).then(
        parcel_lost(attempt=2)
    )


def test_what_replaces_a_parcel_gets_its_label_as_that_parcel_did():
    from_carrier = (*HAND_LOST, REPLACED[-1], label_requested(attempt=2), label_bought(attempt=2))
    second = loss_settled(attempt=2, remedy="replacement")

    given(*from_carrier, parcel_lost(attempt=2)).when(
        shipment.settle_loss, remedy="replacement", **OF_ORDER
    ).then(second, label_requested(attempt=3))


@pytest.mark.parametrize(
    "event",
    [
        label_requested(),
        label_bought(),
        label_refused(),
        manual_label_recorded(),
        parcel_lost(),
        loss_claimed(),
        loss_settled(),
    ],
)
def test_every_event_lies_in_the_partition_of_its_order(event):
    assert ORDERS.stream(ORDER) == partition_key_of(event)
