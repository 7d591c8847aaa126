"""A process with steps, for tests: it remembers in a stream of its own what has happened to an order so far.

It waits for an order's confirmation, has it packed once, and lets what was packed go back when it is cancelled.
"""

from datetime import datetime

from msgspec import Struct

from commands.decision import Decision, DecisionView
from commands.processes.process import Process, Rejected
from domain.aggregate import Aggregate
from domain.event import Event, event_type
from domain.ids import OrderId
from domain.ordering.events import OrderCancelled, OrderConfirmed, OrderPlaced
from event_store.consumers.starting import HEAD


def _order(event: "PackingStep") -> str:
    return f"order-{event.order_id}"


class PackingStep(Event, frozen=True, kw_only=True):
    """What every step says; it belongs to the order's partition."""

    order_id: OrderId


@event_type("test_packing.awaited.v1", partition=_order)
class Awaited(PackingStep, frozen=True, kw_only=True):
    """The order was placed."""


@event_type("test_packing.packed.v1", partition=_order)
class Packed(PackingStep, frozen=True, kw_only=True):
    """It was confirmed, and is packed."""


@event_type("test_packing.unpacked.v1", partition=_order)
class Unpacked(PackingStep, frozen=True, kw_only=True):
    """It was cancelled after it had been packed."""


class State(Struct, frozen=True):
    """The last step."""

    step: str


def evolve(_: State | None, event: Event) -> State:
    return State(type(event).__name__)


PACKED = Aggregate("packing", evolve, events=(Awaited, Packed, Unpacked))
PACKING = Process("packing", writes=(PACKED,), start=HEAD)


def own_stream(event: OrderPlaced | OrderConfirmed | OrderCancelled) -> list[tuple[Aggregate[State], str]]:
    """The process' own state of the order."""
    return [(PACKED, event.order_id)]


@PACKING.when(OrderPlaced, reads=own_stream)
def wait(event: OrderPlaced, _view: DecisionView, _now: datetime) -> Decision:
    return Decision(((PACKED, event.order_id, Awaited(order_id=event.order_id)),))


@PACKING.when(OrderConfirmed, reads=own_stream)
def pack(event: OrderConfirmed, view: DecisionView, _now: datetime) -> Decision:
    assert view.current(PACKED, event.order_id) == State("Awaited"), "confirmed before it was placed"
    return Decision(((PACKED, event.order_id, Packed(order_id=event.order_id)),))


@PACKING.when(OrderCancelled, reads=own_stream)
def unpack(event: OrderCancelled, view: DecisionView, _now: datetime) -> Decision:
    if view.current(PACKED, event.order_id) != State("Packed"):
        return Rejected()
    return Decision(((PACKED, event.order_id, Unpacked(order_id=event.order_id)),))
