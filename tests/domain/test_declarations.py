"""What event types and aggregates declare: partition keys, tags, and the names of all versions."""

import pytest

from domain.aggregate import Aggregate
from domain.event import Event, event_type, partition_key_of, tags_of, type_names_of, upcasts
from tests.examples import credit_note_issued, placed


def of_order(event):
    return f"order-{event.order_id}"


@event_type("declared.paid.v1", partition=of_order, tags=lambda event: (f"order:{event.order_id}",))
class PaidOnce(Event, frozen=True):
    order_id: str


@event_type("declared.paid.v2", partition=of_order)
class Paid(Event, frozen=True):
    order_id: str
    amount: int = 0


@event_type("declared.noted.v1")
class Noted(Event, frozen=True):
    order_id: str


@upcasts(PaidOnce)
def paid(event):
    return Paid(event.order_id)


def test_an_event_belongs_to_the_partition_that_its_type_declares():
    assert "order-7" == partition_key_of(PaidOnce("7"))
    assert partition_key_of(Noted("7")) is None


def test_an_event_has_the_tags_that_its_type_declares():
    assert ("order:7",) == tags_of(PaidOnce("7"))
    assert (("customer:17850",), ()) == (tags_of(placed()), tags_of(placed(customer_id=None)))
    assert (("order:536365",), ()) == (
        tags_of(credit_note_issued()),
        tags_of(credit_note_issued(order_id=None)),
    )


def test_what_was_recorded_in_an_older_shape_is_found_under_its_older_name():
    assert ("declared.paid.v1", "declared.paid.v2") == type_names_of(Paid)
    assert ("declared.noted.v1",) == type_names_of(Noted)


def test_all_events_of_an_aggregate_declare_one_partition_key():
    Aggregate("payment", lambda _, event: event, events=(PaidOnce, Paid))

    with pytest.raises(ValueError, match="'payment' do not declare the same partition key"):
        Aggregate("payment", lambda _, event: event, events=(Paid, Noted))
