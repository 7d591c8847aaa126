"""What the pipeline reads, sends and holds back; that its outcomes are right is the simulation's matter."""

import pytest

from commands.policies import pipeline as limits
from commands.policies.effects import Done, Effect, Park, Read, Send
from commands.policies.fulfilment import FULFILMENT
from commands.policies.pipeline import Pipeline, TooManyParked
from commands.policies.states import Fact
from commands.policies.trigger import GivenUp, Trigger, trigger_of
from domain.event import Event
from domain.ids import OrderId, Sku
from domain.inventory.events import StockReserved
from domain.ordering.events import OrderShipped, ShippedSku
from event_store import codec
from event_store.appending.batching import validated_size
from event_store.envelope import Accepted, ChainBroken, Expectation, Replayed, WrongVersion
from event_store.fingerprints import Fingerprints
from event_store.transport import Record
from tests.commands.policies.running import placed, received
from tests.examples import NOW

REACTIONS = FULFILMENT.reaction_to()


def trigger(order_id: str, demand: list[tuple[str, int]], *, position: int = 100) -> Trigger:
    """An order placed, as its record brings it."""
    stream, _, facts = placed(order_id, demand)
    return _carried(stream, facts[0], position)


def _carried(stream: str, fact: Event, position: int) -> Trigger:
    name, payload = codec.encode(fact)
    record = Record(0, position - 1, position, stream, stream, 1, name, payload, b"{}", NOW, bytes(32), 1)
    return trigger_of(
        record, policy=FULFILMENT, reaction=REACTIONS[name], fingerprints=Fingerprints(bytes(32))
    )


def stocked(sku: str, quantity: int, *, version: int = 1) -> dict[str, list[Fact]]:
    """What the log says of a code that was received once."""
    stream, _, facts = received(sku, quantity)
    name, payload = codec.encode(facts[0])
    return {stream: [Fact(version, name, payload)]}


class Driving:
    """A pipeline and the effects it has had so far."""

    def __init__(self, *triggers: Trigger, horizon: int = 0) -> None:
        self.pipeline = Pipeline(horizon=horizon)
        self.pipeline.deliver(triggers)
        self.at_s = 0.0

    def step(self) -> list[Effect]:
        self.at_s += 10.0
        return self.pipeline.step(NOW, at_s=self.at_s)

    def read(self) -> Read:
        """The reading that the next step asks for."""
        (found,) = [effect for effect in self.step() if isinstance(effect, Read)]
        return found

    def take(
        self, read: Read, *facts: dict[str, list[Fact]], outcomes: dict[bytes, bytes] | None = None
    ) -> None:
        for some in facts:
            self.pipeline.page(read.number, some)
        self.pipeline.taken(read.number, outcomes=outcomes or {})

    def sent(self) -> list[Send]:
        return [effect for effect in self.step() if isinstance(effect, Send)]

    def answer(self, send: Send, verdict: Accepted | Replayed | WrongVersion | ChainBroken) -> None:
        self.pipeline.answered(send.number, verdict, at_s=self.at_s)


def accepted(send: Send) -> Accepted:
    return Accepted(1, 1, tuple(0 for _ in send.request.expectations))


def test_an_order_is_known_from_its_trigger_and_only_stock_is_read():
    driving = Driving(trigger("o1", [("A", 1), ("B", 1)]))

    assert {"stock-A": 0, "stock-B": 0} == driving.read().after


def test_the_append_names_the_exact_version_of_every_stream_it_read():
    driving = Driving(trigger("o1", [("A", 1), ("B", 1)]))
    driving.take(driving.read(), stocked("A", 5), stocked("B", 5))

    (send,) = driving.sent()

    expected = {Expectation("order-o1", 1), Expectation("stock-A", 1), Expectation("stock-B", 1)}
    assert expected == set(send.request.expectations)
    assert ["stock-A", "stock-B", "order-o1"] == [event.stream for event in send.request.events]


def test_the_next_order_is_decided_on_what_the_one_before_leaves_without_waiting():
    driving = Driving(trigger("o1", [("A", 2)]), trigger("o2", [("A", 2)], position=101))
    driving.take(driving.read(), stocked("A", 5))

    first, second = driving.sent()

    assert Expectation("stock-A", 1) in first.request.expectations
    assert Expectation("stock-A", 2) in second.request.expectations
    assert first.request.chain == second.request.chain


def test_a_conflict_reads_only_what_came_after_the_state_that_is_held():
    driving = Driving(trigger("o1", [("A", 2)]))
    driving.take(driving.read(), stocked("A", 5))
    (send,) = driving.sent()
    driving.answer(send, WrongVersion("stock-A", 1, 2))

    again = driving.read()

    assert {"stock-A": 1, "order-o1": 1} == again.after


def test_after_a_broken_chain_the_triggers_are_decided_again_in_order_on_a_new_chain():
    driving = Driving(trigger("o1", [("A", 2)]), trigger("o2", [("A", 2)], position=101))
    driving.take(driving.read(), stocked("A", 5))
    first, second = driving.sent()
    driving.answer(second, ChainBroken())
    assert [] == driving.step()
    driving.answer(first, WrongVersion("stock-A", 1, 2))
    driving.take(driving.read(), stocked("A", 5, version=2))

    again = driving.sent()

    assert [first.request.key, second.request.key] == [send.request.key for send in again]
    assert Expectation("stock-A", 2) in again[0].request.expectations
    assert {first.request.chain} != {send.request.chain for send in again}
    assert 1 == len({send.request.chain for send in again})


def test_a_conflict_halves_what_may_be_in_flight():
    orders = [trigger(f"o{number}", [("A", 1)], position=100 + number) for number in range(40)]
    driving = Driving(*orders)
    driving.take(driving.read(), stocked("A", 1_000))
    sent: list[Send] = []
    for _ in range(3):
        sent.extend(driving.sent())
    assert 40 == len(sent)
    for _ in range(4):
        for ordinal, send in enumerate(sent):
            driving.answer(send, ChainBroken() if ordinal else WrongVersion("stock-A", 1, 1))
        driving.take(driving.read())
        sent = driving.sent()

    assert limits.WINDOW_MAX // 16 == len(sent)


def test_a_refusal_is_checked_against_the_log_before_it_is_sent():
    driving = Driving(trigger("o1", [("A", 4)]))
    driving.take(driving.read(), stocked("A", 5))
    (send,) = driving.sent()
    driving.answer(send, accepted(send))
    driving.pipeline.deliver([trigger("o2", [("A", 4)], position=101)])

    check = driving.read()
    driving.take(check)
    (refusal,) = driving.sent()

    assert {"stock-A": 2, "order-o2": 1} == check.after
    assert ["ordering.order_rejected.v1"] == [event.type for event in refusal.request.events]


def test_nothing_is_refused_while_an_append_to_its_stock_is_on_its_way():
    driving = Driving(trigger("o1", [("A", 4)]))
    driving.take(driving.read(), stocked("A", 5))
    (send,) = driving.sent()
    driving.pipeline.deliver([trigger("o2", [("A", 4)], position=101)])

    assert [] == driving.step()

    driving.answer(send, accepted(send))
    assert {"stock-A": 2, "order-o2": 1} == driving.read().after


def test_one_reading_serves_all_that_wait_for_the_same_scarce_code():
    others = [f"c{number}" for number in range(20)]
    driving = Driving(trigger("o", [("A", 5), *((sku, 1) for sku in others)]))
    driving.take(driving.read(), stocked("A", 5), *(stocked(sku, 9) for sku in others))
    (send,) = driving.sent()
    driving.answer(send, accepted(send))
    driving.pipeline.deliver(
        trigger(f"o{number}", [("A", 9), (sku, 1)], position=101 + number)
        for number, sku in enumerate(others)
    )
    driving.take(driving.read())

    refusals = driving.sent()

    assert 20 == len(refusals)


def test_an_outcome_that_is_known_at_the_start_is_not_decided_again():
    known = trigger("o1", [("A", 1)], position=7)
    driving = Driving(known, trigger("o2", [("A", 1)], position=8), horizon=10)
    read = driving.read()
    driving.take(read, stocked("A", 5), outcomes={known.outcome_key: known.fingerprint})

    effects = driving.step()

    assert [("replayed", 7)] == [(e.outcome, e.trigger.position) for e in effects if isinstance(e, Done)]
    assert 1 == len([effect for effect in effects if isinstance(effect, Send)])


def test_a_repeat_that_only_the_log_knows_is_done_and_its_streams_are_read_again():
    driving = Driving(trigger("o1", [("A", 1)]))
    driving.take(driving.read(), stocked("A", 5))
    (send,) = driving.sent()
    driving.answer(send, Replayed(9, 10, (2, 2)))

    effects = driving.step()

    assert ["replayed"] == [effect.outcome for effect in effects if isinstance(effect, Done)]
    assert [{"stock-A", "order-o1"}] == [set(e.after) for e in effects if isinstance(e, Read)]


def test_what_is_delivered_twice_and_cannot_be_done_twice_is_a_repeat_and_no_failure():
    shipped = OrderShipped(
        order_id=OrderId("o1"), skus=(ShippedSku(sku=Sku("A"), quantity=3),), shipped_at=NOW
    )
    driving = Driving(*(_carried("order-o1", shipped, 100) for _ in range(2)), horizon=100)
    reserved = StockReserved(sku=Sku("A"), order_id=OrderId("o1"), quantity=3, reserved_at=NOW)
    facts = [*stocked("A", 5)["stock-A"], Fact(2, *codec.encode(reserved))]
    driving.take(driving.read(), {"stock-A": facts})
    (send,) = driving.sent()
    driving.answer(send, accepted(send))

    checking = driving.read()
    assert (send.request.key,) == checking.keys
    driving.take(checking, outcomes={send.request.key: send.request.fingerprint})

    assert ["replayed"] == [effect.outcome for effect in driving.step() if isinstance(effect, Done)]


def test_an_order_of_2000_lines_fits_one_append():
    driving = Driving(trigger("big", [(f"c{number}", 1) for number in range(2_000)]))
    read = driving.read()
    driving.take(read, *(stocked(f"c{number}", 1) for number in range(2_000)))

    (send,) = driving.sent()

    assert 2_001 == len(send.request.events)
    assert 0 < validated_size(send.request)


def test_an_append_that_can_never_be_taken_parks_its_trigger():
    driving = Driving(trigger("o1", [("A", 1)]))
    driving.take(driving.read(), stocked("A", 5))
    (send,) = driving.sent()
    driving.pipeline.unfit(send.number, "too large")
    driving.take(driving.read())
    driving.take(driving.read())

    (park,) = driving.step()

    assert isinstance(park, Park)
    assert "too large" == park.failure


def test_what_waits_behind_a_parked_key_waits_and_others_go_on():
    driving = Driving(trigger("o1", [("A", 1)]), trigger("o2", [("A", 1)], position=101))
    driving.pipeline._parked["fulfilment", "order-o1"] = 1
    read, park = driving.step()
    assert isinstance(park, Park)
    assert isinstance(read, Read)
    driving.take(read, stocked("A", 5))

    effects = driving.step()

    assert ("o1", None) == (park.trigger.stream.removeprefix("order-"), park.failure)
    assert ["order-o2"] == [e.request.events[-1].stream for e in effects if isinstance(e, Send)]


def test_a_skipped_trigger_has_its_outcome_under_its_own_key():
    parked = trigger("o1", [("A", 1)])
    parked.given_up = GivenUp("op", "made by hand")
    driving = Driving()
    driving.pipeline.retry(parked.parking_key, [parked])

    (send,) = driving.sent()

    assert parked.outcome_key == send.request.key
    assert ["operations.event_skipped.v1"] == [event.type for event in send.request.events]


def test_too_much_that_waits_for_a_person_stops_the_worker():
    orders = [trigger("o1", [("A", 1)], position=100 + number) for number in range(2)]
    driving = Driving(*orders)
    driving.pipeline._parked["fulfilment", "order-o1"] = limits.PARKED_PER_KEY_MAX

    with pytest.raises(TooManyParked):
        driving.step()


def test_a_worker_that_drains_decides_nothing_more():
    driving = Driving(trigger("o1", [("A", 1)]))
    driving.take(driving.read(), stocked("A", 5))
    driving.pipeline.stop_deciding()

    assert [] == driving.step()
