"""What a sender asks of the outside, what it records, and what it never does twice."""

import asyncio

import pytest
from msgspec.structs import replace

from commands.gateways import sending as product
from commands.gateways.gateway import Unaskable
from counterfoil import fencing, status
from domain.operations.events import EventSkipped
from domain.shipping.events import LabelBought, LabelRefused
from event_store.consumers import backlog, parking
from event_store.log import codec, reading
from event_store.log.appending.writer import Writer
from event_store.log.envelope import decode_metadata
from runtime import database
from runtime.settings import Settings
from tests.commands.gateways.sending import NAME, Scripted, head, reached, sender, silent
from tests.commands.processes.running import eventually, request_for
from tests.examples import NOW, label_requested
from tests.parked import record_skip

WAIT_S = 120.0


def requested(order_id, *, attempt=1, version=0):
    return request_for(f"shipment-{order_id}", version, [label_requested(order_id=order_id, attempt=attempt)])


def record(url, *requests):
    async def append():
        async with Writer.open(url, name="test") as writer:
            return await asyncio.gather(*[writer.submit(request) for request in requests])

    return asyncio.run(append())


def recorded(url, order_id):
    with database.connect(url, role="counterfoil_reader", name="test") as conn:
        return reading.read_stream(conn, f"shipment-{order_id}")


def events(url, order_id):
    return [codec.decode(each.type, each.payload) for each in recorded(url, order_id)]


def installation(url):
    with database.connect(url, role="counterfoil_reader", name="test") as conn:
        return reading.history(conn).installation


def settled(url):
    return reached(url) == head(url)


def test_an_intent_is_asked_about_then_carried_out_and_its_answer_recorded(database_url):
    record(database_url, requested("1"))
    port = Scripted()
    with sender(database_url, port) as work:
        eventually(lambda: settled(database_url), wait_s=WAIT_S)
        eventually(lambda: work.health.ready, wait_s=WAIT_S)

    assert [(NAME, 2, 0)] == [
        (each.name, each.position, each.parked) for each in status.read(database_url).consumers
    ]
    key = f"{installation(database_url)}:carrier:shipment-1:label:1"
    intent, outcome = recorded(database_url, "1")
    assert [("find", key), ("ask", key)] == port.calls
    assert "L-1-1" == codec.decode(outcome.type, outcome.payload).label_id
    metadata = decode_metadata(outcome.metadata)
    assert ("sender:carrier", "1.1") == (metadata.actor, metadata.causation)
    assert decode_metadata(intent.metadata).correlation_id == metadata.correlation_id
    assert decode_metadata(intent.metadata).actor == metadata.on_behalf_of
    assert 1 == work.value("counterfoil_gateway_calls_total", gateway="carrier", call="ask", result="Label")


def test_a_refusal_is_recorded_and_a_new_attempt_has_a_key_of_its_own(database_url):
    record(database_url, requested("1"))
    port = Scripted()
    port.refuses(f"{installation(database_url)}:carrier:shipment-1:label:1", "too far")
    with sender(database_url, port):
        eventually(lambda: settled(database_url), wait_s=WAIT_S)
        record(database_url, requested("1", attempt=2, version=2))
        eventually(lambda: settled(database_url) and head(database_url) == 4, wait_s=WAIT_S)

    _, refused, _, bought = events(database_url, "1")
    assert isinstance(refused, LabelRefused)
    assert (1, "too far") == (refused.attempt, refused.reason)
    assert isinstance(bought, LabelBought)
    assert [("find", "1"), ("find", "2"), ("ask", "2")] == [(name, key[-1]) for name, key in port.calls]


def test_silence_is_asked_about_again_and_the_others_go_on_meanwhile(database_url):
    port = Scripted()
    port.says["silent"] = [*silent(), None, *silent()]  # the first question, then the first purchase
    port.says["held"] = ["wait"]
    record(database_url, requested("held"), requested("silent"), requested("other"))
    with sender(database_url, port) as work:
        eventually(lambda: len(events(database_url, "other")) == 2, wait_s=WAIT_S)
        eventually(lambda: len(events(database_url, "silent")) == 2, wait_s=WAIT_S)

        assert 0 == reached(database_url), "an intent without an answer was passed"
        # A call whose answer was recorded is counted until the sender takes note of its end; the other is held longer.
        eventually(
            lambda: work.value("counterfoil_gateway_in_flight", gateway="carrier") == 1, wait_s=WAIT_S / 2
        )

        port.held["held"].set()
        eventually(lambda: settled(database_url), wait_s=WAIT_S)

    assert ["find", "find", "ask", "find"] == port.calls_about("silent"), (
        "asked about before it was sent again"
    )
    assert 2 == len(events(database_url, "held"))


def test_what_has_an_answer_is_not_asked_about_again(database_url):
    record(database_url, requested("1"), requested("2"))
    port, second = Scripted(), Scripted()
    with sender(database_url, port):
        eventually(lambda: settled(database_url), wait_s=WAIT_S)
    with database.connect(database_url, role="counterfoil_owner", name="test") as owner:
        owner.execute("update consumers.checkpoint set position = 0, leaf = null")
    with sender(database_url, second):
        eventually(lambda: settled(database_url), wait_s=WAIT_S)

    assert [] == second.calls
    assert 4 == head(database_url)


def test_what_was_done_under_the_key_before_is_recorded_and_not_asked_for(database_url):
    port = Scripted()
    asyncio.run(
        port.ask(f"{installation(database_url)}:carrier:shipment-1:label:1", label_requested(order_id="1"))
    )
    port.calls.clear()
    record(database_url, requested("1"))
    with sender(database_url, port):
        eventually(lambda: settled(database_url), wait_s=WAIT_S)

    assert ["find"] == port.calls_about("1")
    assert "L-1-1" == events(database_url, "1")[1].label_id


def test_what_can_never_be_done_parks_its_key_alone_and_is_tried_again_on_request(database_url):
    port = Scripted()
    port.says["odd"] = [None, Unaskable("no such country"), None, Unaskable("still none")]
    record(database_url, requested("odd"), requested("fine"))
    with sender(database_url, port):
        eventually(lambda: settled(database_url), wait_s=WAIT_S)
        assert 2 == len(events(database_url, "fine"))
        parked = key_of(database_url, "odd")
        assert "Unaskable: no such country" == parked.reason

        assert "failed again: Unaskable: still none" == asked(database_url, "retry", parked)
        assert 2 == key_of(database_url, "odd").tries

        assert "done" == asked(database_url, "retry", parked)
        eventually(lambda: settled(database_url) and head(database_url) == 4, wait_s=WAIT_S)

    assert 2 == len(events(database_url, "odd"))
    assert ["find", "ask"] == port.calls_about("fine"), "what had its answer was passed over"
    with pytest.raises(parking.NotParked):
        key_of(database_url, "odd")


def test_while_too_many_keys_are_parked_no_more_intents_are_sent(database_url, monkeypatch):
    monkeypatch.setattr(product, "PARKED_MAX", 1)
    monkeypatch.setattr(backlog, "EVENTS_PER_PAGE", 1)
    monkeypatch.setattr(product, "OPEN_MAX", 1)
    port = Scripted()
    port.says["odd"] = [None, Unaskable("no such country")]
    record(database_url, requested("odd"), requested("next"))
    with sender(database_url, port):
        eventually(lambda: reached(database_url) == 1, wait_s=WAIT_S)
        parked = key_of(database_url, "odd")
        assert [] == port.calls_about("next")

        assert "done" == asked(database_url, "retry", parked)
        eventually(lambda: settled(database_url), wait_s=WAIT_S)

    assert ["find", "ask"] == port.calls_about("next")


def test_an_intent_that_cannot_be_read_parks_its_key_until_an_operator_skips_it(database_url):
    odd = requested("odd")
    broken = replace(odd.events[0], payload=b'{"order_id": "odd"}')
    record(database_url, replace(odd, events=(broken,)), requested("fine"))
    port = Scripted()
    with sender(database_url, port):
        eventually(lambda: settled(database_url), wait_s=WAIT_S)
        parked = key_of(database_url, "odd")
        assert "MalformedEvent" in parked.reason
        skip = EventSkipped(
            consumer=NAME,
            shape=None,
            partition_key=parked.partition_key,
            position=parked.position,
            actor="operator",
            reason="written by hand",
            skipped_at=NOW,
        )
        assert "refused" in asked(database_url, "skip", parked)
        record_skip(database_url, skip)
        assert "done" == asked(database_url, "skip", parked)
        eventually(lambda: settled(database_url), wait_s=WAIT_S)

    assert [] == port.calls_about("odd")
    with pytest.raises(parking.NotParked):
        key_of(database_url, "odd")


def test_a_copy_sends_nothing_until_its_settings_name_it(database_url, tmp_path):
    record(database_url, requested("1"))
    original = installation(database_url)
    fencing.fence(Settings(home=tmp_path, database_url=database_url), reason="a trial", new_installation=True)
    copy = installation(database_url)
    port = Scripted()
    for given in (None, original):
        with sender(database_url, port, Settings(gateways_of=given)) as work:
            eventually(
                lambda found=work: f"GATEWAYS_OF={copy}" in "".join(found.health.lines()), wait_s=WAIT_S
            )
            assert not work.health.ready
    before = list(port.calls)

    with sender(database_url, port, Settings(gateways_of=copy)):
        eventually(lambda: settled(database_url), wait_s=WAIT_S)

    assert [] == before
    assert ["find", "ask"] == port.calls_about("1")


def key_of(url, order_id):
    with database.connect(url, role="counterfoil_reader", name="test") as conn:
        (found,) = parking.shown(conn, NAME, f"order-{order_id}")
    return found


def asked(url, kind, parked):
    with database.connect(url, role="counterfoil_writer", name="test") as conn:
        request = parking.ask(conn, kind, parked, actor="operator")
        eventually(lambda: parking.outcome_of(conn, request) is not None, wait_s=WAIT_S)
        return parking.outcome_of(conn, request)
