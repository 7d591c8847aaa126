"""What the decider loads, appends and holds back; that its outcomes are right is the simulation's matter."""

from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from msgspec.structs import replace

from commands.decision import ABSENT, Decision, StreamState
from commands.processes import deciding as limits
from commands.processes.credit_holds import CREDIT_HOLDS
from commands.processes.deciding import (
    Answer,
    Append,
    Decider,
    Done,
    Effect,
    Load,
    Loaded,
    Park,
)
from commands.processes.fulfilment import FULFILMENT
from commands.processes.process import Process
from commands.processes.trigger import Trigger
from commands.recording import Unfit
from commands.states import States
from domain.event import Event
from domain.ids import OrderId, Sku
from domain.inventory.events import StockReceived
from domain.inventory.locations import ALL, LOCATIONS
from domain.inventory.stock_item import STOCK
from domain.ordering.events import OrderPlaced, OrderRejected, OrderShipped, ShippedSku
from domain.ordering.order import ORDER
from event_store.consumers.starting import HEAD
from event_store.log import codec
from event_store.log.appending.batching import validated_size
from event_store.log.envelope import (
    Accepted,
    AppendRequest,
    ChainBroken,
    Expectation,
    RecordedEvent,
    Replayed,
    WrongVersion,
)
from event_store.log.fingerprints import Fingerprints
from tests.commands.processes.running import placed, received
from tests.commands.processes.viewing import folded
from tests.examples import NOW

EPOCH = 1
FINGERPRINTS = Fingerprints(b"secret")
PLACES = LOCATIONS.stream(ALL)

States_ = Mapping[str, StreamState[Any]]


def order(order_id: str, demand: list[tuple[str, int]], *, position: int = 100) -> RecordedEvent:
    """An order placed, as it is recorded."""
    stream, _, events = placed(order_id, demand)
    return _carried(stream, events[0], position)


def shipped(order_id: str, sku: str, quantity: int, *, position: int = 100) -> RecordedEvent:
    """An order shipped: its stock was reserved before, or it cannot be decided."""
    event = OrderShipped(
        order_id=OrderId(order_id), skus=(ShippedSku(sku=Sku(sku), quantity=quantity),), shipped_at=NOW
    )
    return _carried(f"order-{order_id}", event, position)


def _rejected_event(order_id: str, position: int) -> RecordedEvent:
    event = OrderRejected(order_id=OrderId(order_id), reason="stock", missing=(), rejected_at=NOW)
    return _carried(f"order-{order_id}", event, position)


def _carried(stream: str, event: Event, position: int) -> RecordedEvent:
    name, payload = codec.encode(event)
    leaf = position.to_bytes(32)
    return RecordedEvent(position, stream, 1, name, payload, b"{}", NOW, leaf)


def stocked(sku: str, quantity: int, *more: Event) -> States_:
    """The state of an SKU that was received once, and what happened to it afterwards."""
    _, _, events = received(sku, quantity)
    return {STOCK.stream(sku): folded(STOCK, sku, [*events, *more])}


def known_order(order_id: str, demand: list[tuple[str, int]], *, customer_id: str | None = None) -> States_:
    """The state of an order that was placed."""
    _, _, events = placed(order_id, demand)
    events = [replace(events[0], customer_id=customer_id)]
    return {ORDER.stream(order_id): folded(ORDER, order_id, events)}


def trigger(event: RecordedEvent, process: Process = FULFILMENT) -> Trigger:
    """What an event is to a process."""
    return Trigger(process, process.reactions[event.type], event, EPOCH)


class Driving:
    """A decider and what it asks for."""

    def __init__(self, *events: RecordedEvent, processes: Iterable[Process] = (FULFILMENT,)) -> None:
        self.processes = tuple(processes)
        states = States(None)  # type: ignore[arg-type]  # loads are answered here
        self.decider = Decider(states=states, fingerprints=FINGERPRINTS)
        self.at_s = 0.0
        self.deliver(*events)

    def deliver(self, *events: RecordedEvent) -> None:
        self.decider.deliver([trigger(event, each) for event in events for each in self.processes])

    def step(self) -> list[Effect]:
        self.at_s += 10.0
        return self.decider.step(NOW, at_s=self.at_s)

    def load(self) -> Load:
        """The load that the next step asks for."""
        (found,) = [effect for effect in self.step() if isinstance(effect, Load)]
        return found

    def take(
        self,
        load: Load,
        *states: States_,
        failures: Mapping[str, str] | None = None,
        outcomes: Mapping[bytes, bytes] | None = None,
    ) -> None:
        found = {stream: each for some in states for stream, each in some.items()}
        if PLACES in load.streams:
            found.setdefault(PLACES, ABSENT)
        self.decider.loaded(load.number, Loaded(found, failures or {}, outcomes or {}))

    def appended(self) -> list[AppendRequest]:
        """What the next step appends."""
        (append,) = [effect for effect in self.step() if isinstance(effect, Append)]
        return list(append.requests)

    def answer(self, *answers: Answer) -> None:
        self.decider.answered(answers, at_s=self.at_s)


def accepted(request: AppendRequest) -> Accepted:
    return Accepted(1, 1, tuple(0 for _ in request.expectations))


def test_an_order_is_known_from_its_trigger_and_only_stock_and_locations_are_loaded():
    driving = Driving(order("o1", [("A", 1), ("B", 1)]))

    assert {"stock-A", "stock-B", PLACES} == driving.load().streams.keys()


def test_the_append_names_the_exact_version_of_every_stream_it_read():
    driving = Driving(order("o1", [("A", 1), ("B", 1)]))
    driving.take(driving.load(), stocked("A", 5), stocked("B", 5))

    (request,) = driving.appended()

    stock = {Expectation("stock-A", 1), Expectation("stock-B", 1)}
    expected = {Expectation("order-o1", 1), Expectation(PLACES, 0), *stock}
    assert expected == set(request.expectations)
    assert ["stock-A", "stock-B", "order-o1"] == [event.stream for event in request.events]


def test_the_next_order_is_decided_on_what_the_one_before_leaves_in_the_same_chain():
    driving = Driving(order("o1", [("A", 2)]), order("o2", [("A", 2)], position=101))
    driving.take(driving.load(), stocked("A", 5))

    first, second = driving.appended()

    assert Expectation("stock-A", 1) in first.expectations
    assert Expectation("stock-A", 2) in second.expectations
    assert first.chain == second.chain


def test_the_next_batch_is_decided_on_what_is_in_flight_and_appended_when_that_is_accepted():
    driving = Driving(order("o1", [("A", 2)]))
    driving.take(driving.load(), stocked("A", 5))
    (first,) = driving.appended()
    driving.deliver(order("o2", [("A", 2)], position=101))
    ahead = driving.load()
    driving.take(ahead)
    assert [] == driving.step()

    driving.answer(accepted(first))
    (second,) = driving.appended()

    assert {PLACES} == ahead.streams.keys(), "nobody here writes it, and others may"
    assert Expectation("stock-A", 2) in second.expectations
    assert first.chain != second.chain


def test_after_a_conflict_everything_from_there_on_is_loaded_anew_and_decided_again_in_order():
    driving = Driving(order("o1", [("A", 1)]), order("o2", [("A", 2)], position=101))
    driving.take(driving.load(), stocked("A", 5))
    first, second = driving.appended()
    driving.deliver(order("o3", [("B", 1)], position=102))
    driving.take(driving.load(), stocked("B", 5))
    driving.step()
    driving.answer(accepted(first), WrongVersion("stock-A", 2, 3))

    load = driving.load()
    states = known_order("o2", [("A", 2)]), stocked("A", 5), known_order("o3", [("B", 1)]), stocked("B", 5)
    driving.take(load, *states)
    again = driving.appended()

    assert {"stock-A", "order-o2", "stock-B", "order-o3", PLACES} == load.streams.keys()
    assert [second.key, load.keys[1]] == [request.key for request in again]
    assert {second.chain} != {request.chain for request in again}


def test_a_conflict_halves_what_is_decided_together():
    orders = [order(f"o{number}", [("A", 1)], position=100 + number) for number in range(300)]
    driving = Driving(*orders)
    driving.take(driving.load(), stocked("A", 1_000))
    requests = driving.appended()
    driving.answer(WrongVersion("stock-A", 1, 2), *[ChainBroken()] * (len(requests) - 1))

    assert limits.BATCH_MAX == len(requests)
    assert limits.BATCH_MAX // 2 == len(driving.load().keys)


def test_a_rejection_is_decided_on_loaded_states_before_it_is_appended():
    driving = Driving(order("o1", [("A", 6)]))
    driving.take(driving.load(), stocked("A", 5))

    check = driving.load()
    driving.take(check, known_order("o1", [("A", 6)]), stocked("A", 5))
    (rejection,) = driving.appended()

    assert {"stock-A", "order-o1", PLACES} == check.streams.keys()
    assert ["ordering.order_rejected.v2"] == [event.type for event in rejection.events]


def test_nothing_is_rejected_while_an_append_to_its_stock_is_in_flight():
    driving = Driving(order("o1", [("A", 4)]))
    driving.take(driving.load(), stocked("A", 5))
    (first,) = driving.appended()
    driving.deliver(order("o2", [("A", 4)], position=101))
    driving.take(driving.load())
    assert [] == driving.step()

    driving.answer(accepted(first))

    assert {"stock-A", "order-o2", PLACES} == driving.load().streams.keys()


def test_one_load_serves_all_that_wait_for_the_same_scarce_sku():
    demands = [("A", 9), ("B", 1)]
    orders = [order(f"o{number}", demands, position=100 + number) for number in range(20)]
    driving = Driving(*orders)
    driving.take(driving.load(), stocked("A", 5), stocked("B", 20))

    states = [known_order(f"o{number}", demands) for number in range(20)]
    driving.take(driving.load(), stocked("A", 5), stocked("B", 20), *states)

    assert 20 == len(driving.appended())


def test_an_outcome_that_is_known_is_not_decided_again():
    known = trigger(order("o1", [("A", 1)]))
    driving = Driving(order("o1", [("A", 1)]), order("o2", [("A", 1)], position=101))
    driving.take(driving.load(), stocked("A", 5), outcomes={known.key: known.fingerprint(FINGERPRINTS)})

    effects = driving.step()

    assert [("replayed", 100)] == [
        (effect.outcome, effect.trigger.recorded.position) for effect in effects if isinstance(effect, Done)
    ]
    assert [1] == [len(effect.requests) for effect in effects if isinstance(effect, Append)]


def test_a_repeat_that_only_the_log_knows_is_done_and_what_follows_it_is_decided_again():
    driving = Driving(order("o1", [("A", 1)]), order("o2", [("A", 1)], position=101))
    driving.take(driving.load(), stocked("A", 5))
    driving.appended()
    driving.answer(Replayed(9, 10, (2, 2)), ChainBroken())

    effects = driving.step()

    assert ["replayed"] == [effect.outcome for effect in effects if isinstance(effect, Done)]
    assert [{"stock-A", "order-o2", PLACES}] == [
        set(each.streams) for each in effects if isinstance(each, Load)
    ]


def test_what_another_worker_has_done_and_cannot_be_done_twice_is_a_repeat_and_no_failure():
    driving = Driving(shipped("o1", "A", 3))
    driving.take(driving.load(), stocked("A", 5))
    checking = driving.load()
    (key,) = checking.keys
    fingerprint = trigger(shipped("o1", "A", 3)).fingerprint(FINGERPRINTS)

    driving.take(checking, stocked("A", 2), outcomes={key: fingerprint})

    assert ["replayed"] == [effect.outcome for effect in driving.step() if isinstance(effect, Done)]


def test_an_order_of_2000_lines_fits_one_append():
    driving = Driving(order("big", [(f"c{number}", 1) for number in range(2_000)]))
    driving.take(driving.load(), *(stocked(f"c{number}", 1) for number in range(2_000)))

    (request,) = driving.appended()

    assert 2_001 == len(request.events)
    assert 0 < validated_size(request)


def test_an_append_that_can_never_be_taken_parks_its_trigger():
    driving = Driving(order("o1", [("A", 1)]))
    driving.take(driving.load(), stocked("A", 5))
    driving.appended()
    driving.answer(Unfit("too large"))
    driving.take(driving.load(), known_order("o1", [("A", 1)]), stocked("A", 5))

    (park,) = driving.step()

    assert isinstance(park, Park)
    assert "too large" == park.failure


def _raise(*_: object) -> Any:
    raise ZeroDivisionError("a defect")


def _process(name: str, *, reads: Any = None, decide: Any = None) -> Process:
    process = Process(name, writes=(STOCK,), start=HEAD)
    decide = decide or (lambda *_: Decision())
    decide.__name__ = "decide"
    process.when(OrderPlaced, reads=reads or (lambda _: ()))(decide)
    return process


def _writes_elsewhere(event: OrderPlaced, *_: object) -> Decision:
    received = StockReceived(sku=Sku("A"), quantity=1, reference="", received_at=NOW)
    return Decision(((STOCK, "A", received),))


@pytest.mark.parametrize(
    ("bad", "failure"),
    [
        (_process("bad", reads=_raise), "ZeroDivisionError: a defect"),
        (_process("bad", decide=_raise), "ZeroDivisionError: a defect"),
        (_process("bad", decide=_writes_elsewhere), "decide appends to stock-A without declaring it"),
    ],
    ids=["reads", "decide", "undeclared"],
)
def test_a_process_that_fails_parks_the_key_and_another_decides_about_the_same_event(bad, failure):
    driving = Driving(order("o1", [("A", 1)]), processes=(bad, FULFILMENT))
    driving.take(driving.load(), stocked("A", 5))
    driving.take(driving.load(), known_order("o1", [("A", 1)]), stocked("A", 5))

    effects = driving.step()

    assert [("bad", failure)] == [
        (effect.trigger.process.name, effect.failure) for effect in effects if isinstance(effect, Park)
    ]
    (append,) = [effect for effect in effects if isinstance(effect, Append)]
    assert ["stock-A", "order-o1"] == [event.stream for event in append.requests[0].events]


def test_streams_that_only_a_state_names_are_loaded_after_it_for_all_triggers_at_once():
    events = [_rejected_event(order_id, number) for number, order_id in enumerate(("o1", "o2", "o3"), 101)]
    driving = Driving(*events, processes=(CREDIT_HOLDS,))
    orders = [
        known_order(order_id, [("A", 1)], customer_id=f"c{order_id}") for order_id in ("o1", "o2", "o3")
    ]
    first = driving.load()
    driving.take(first, *orders)
    then = driving.load()
    driving.take(then, *orders, dict.fromkeys(then.streams, ABSENT))
    named = [f"{of}o{number}" for of in ("order_credit-", "store_credit-c") for number in (1, 2, 3)]

    requests = driving.appended()

    assert ["order-o1", "order-o2", "order-o3"] == sorted(first.streams)
    assert named == sorted({*then.streams} - {*first.streams})
    assert [
        (Expectation(f"store_credit-co{number}", 0), Expectation(f"order_credit-o{number}", 0))
        for number in (1, 2, 3)
    ] == [each.expectations[-2:] for each in requests]


def test_a_stream_that_cannot_be_folded_parks_only_what_reads_it():
    driving = Driving(order("o1", [("A", 1)]), order("o2", [("B", 1)], position=101))
    driving.take(driving.load(), stocked("B", 5), failures={"stock-A": "stock-A cannot be folded"})
    driving.take(
        driving.load(),
        known_order("o1", [("A", 1)]),
        known_order("o2", [("B", 1)]),
        stocked("B", 5),
        failures={"stock-A": "stock-A cannot be folded"},
    )

    effects = driving.step()

    assert [("order-o1", "stock-A cannot be folded")] == [
        (effect.trigger.recorded.key, effect.failure) for effect in effects if isinstance(effect, Park)
    ]
    (append,) = [effect for effect in effects if isinstance(effect, Append)]
    assert ["order-o2"] == [request.events[-1].stream for request in append.requests]


def test_an_event_that_its_own_fold_refuses_parks_its_trigger():
    def reserve_what_is_no_stock(_event: OrderPlaced, *_: object) -> Decision:
        return Decision(((STOCK, "A", OrderShipped(order_id=OrderId("o1"), skus=(), shipped_at=NOW)),))

    process = _process("bad", reads=lambda _: [(STOCK, "A")], decide=reserve_what_is_no_stock)
    driving = Driving(order("o1", [("A", 1)]), processes=(process,))
    driving.take(driving.load(), stocked("A", 5))
    driving.take(driving.load(), stocked("A", 5))

    (park,) = driving.step()

    assert isinstance(park, Park)
    assert park.failure is not None
    assert park.failure.startswith("AssertionError: OrderShipped is no event of a stock item")


def test_what_was_delivered_behind_a_key_that_is_parked_is_dropped_and_others_go_on():
    driving = Driving(
        shipped("o1", "A", 3), order("o1", [("A", 1)], position=101), order("o2", [("A", 1)], position=102)
    )
    driving.take(driving.load(), stocked("A", 5))
    checking = driving.load()
    driving.deliver(order("o1", [("A", 1)], position=103))
    driving.take(checking, known_order("o1", [("A", 1)]), known_order("o2", [("A", 1)]), stocked("A", 5))

    effects = driving.step()

    assert ["order-o1"] == [effect.trigger.recorded.key for effect in effects if isinstance(effect, Park)]
    (append,) = [effect for effect in effects if isinstance(effect, Append)]
    assert ["order-o2"] == [request.events[-1].stream for request in append.requests]
    assert 0 == driving.decider.waiting


def test_a_retried_key_comes_before_what_was_about_to_be_decided():
    driving = Driving(order("o2", [("A", 2)], position=101))
    ahead = driving.load()
    retried = trigger(order("o1", [("A", 1)]))
    driving.decider.retry([retried])
    driving.take(ahead, stocked("A", 5))
    driving.take(driving.load(), stocked("A", 5))

    first, second = driving.appended()

    assert retried.key == first.key
    assert Expectation("stock-A", 2) in second.expectations
