"""Decisions over several streams, by tag and under conditions: what is appended, answered, and answered again."""

import asyncio
from dataclasses import dataclass

import pytest

from commands import limits
from commands.calls import Call
from commands.decision import Decision, Stated, Tagged, events_of
from commands.execution import Caller
from domain.aggregate import Aggregate
from domain.catalogue.product import PRODUCT
from domain.event import Event, event_type
from domain.inventory.stock_item import STOCK
from domain.rejection import Conflict
from event_store.log import reading
from event_store.log.envelope import Condition, decode_metadata
from event_store.transport import position_token
from event_store.transport.partitioning import partition_of
from runtime import database
from runtime.problems import ProblemError
from tests.commands.conftest import opened
from tests.examples import NOW, SKU, price_changed, product_created, stock_received

pytestmark = pytest.mark.anyio


def of_order(event):
    return f"order-{event.order_id}"


@event_type(
    "deciding.seat_taken.v1",
    partition=of_order,
    tags=lambda event: (f"seat:{event.seat}", f"order:{event.order_id}"),
)
class SeatTaken(Event, frozen=True):
    order_id: str
    seat: str


@dataclass(kw_only=True, eq=False)
class SeatIsTaken(Conflict):
    title = meaning = remedy = "for this test"

    seat: str


TICKET = Aggregate("ticket", lambda count, _: (count or 0) + 1, events=(SeatTaken,))
TAKEN = Tagged((SeatTaken,), 0, lambda count, _: count + 1)
PRICE = {"unit_price": "2.95", "currency": "GBP"}


def caller(shop, key, *, if_match=None, epoch=b"f"):
    execution = shop.app.state.dispatcher.execution
    call = Call(
        command="test",
        key=key.encode().ljust(16),
        fingerprint=epoch * 32,
        correlation_id="",
        if_match=if_match,
        actor="tester",
    )
    [slot] = execution.reserve(1)
    return Caller(execution, call=call, slot=slot, now=NOW)


def take(seat, *, order="7"):
    """Take a seat unless an event says that it is taken, by reading it."""

    def decide(_ticket, view):
        if view.tagged(TAKEN, f"seat:{seat}"):
            raise SeatIsTaken(seat=seat)
        return [SeatTaken(order, seat)]

    return decide


def take_blindly(seat):
    """The same, without reading: the log is asked."""
    free = Condition((f"seat:{seat}",), TAKEN.type_names, 0)

    def decide(_ticket, _view):
        taken = events_of(TICKET, seat, [SeatTaken("7", seat)])
        return Decision(taken, conditions=(Stated(free, SeatIsTaken(seat=seat)),))

    return decide


def both(_ticket, view):
    """A ticket, and stock and price of a product with it."""
    product = view.current(PRODUCT, SKU)
    assert product is not None
    return Decision(
        events=(
            *events_of(STOCK, SKU, [stock_received(quantity=1)]),
            *events_of(TICKET, "1A", [SeatTaken("7", "1A")]),
            *events_of(STOCK, SKU, [stock_received(quantity=2)]),
        )
    )


def recorded(shop):
    with database.connect(shop.url, role="counterfoil_reader", name="test") as connection:
        return reading.read_after(connection, 0)


async def test_a_decision_appends_to_several_streams_at_once(given):
    shop = await given(product_created(), stock_received())

    answer = await caller(shop, "both").execute(TICKET, "1A", both)

    assert ("ticket-1A", 1, 4) == (answer.stream, answer.version, answer.position)
    stock, ticket = ("stock-85123A", "stock-85123A"), ("ticket-1A", "order-7")
    assert [(*stock, 2), (*ticket, 1), (*stock, 3)] == [
        (event.stream, event.key, event.version) for event in recorded(shop)[2:]
    ]


async def test_the_token_names_the_partitions_that_the_events_went_to(given):
    shop = await given(product_created(), stock_received())

    answer = await caller(shop, "both").execute(TICKET, "1A", both)

    token = position_token.decode(shop.app.state.dispatcher.execution.position_token(answer.touched))
    assert {partition_of("stock-85123A", 12): 5, partition_of("order-7", 12): 4} == token.partitions


async def test_an_empty_decision_names_the_partition_of_its_streams_last_event(shop):
    await caller(shop, "first").execute(TICKET, "1A", take("1A"))

    answer = await caller(shop, "second").execute(TICKET, "1A", lambda _ticket, _view: [])

    assert (1, 1, (("order-7", 1),)) == (answer.version, answer.position, answer.touched)


async def test_tags_and_partition_key_are_part_of_what_the_leaf_proves(shop):
    await caller(shop, "first").execute(TICKET, "1A", take("1A"))

    [event] = recorded(shop)
    metadata = decode_metadata(event.metadata)
    assert ("order-7", ("seat:1A", "order:7")) == (metadata.partition_key, metadata.tags)


async def test_the_answer_of_several_streams_is_given_again(given, database_url):
    shop = await given(product_created(), stock_received())
    first = await caller(shop, "both").execute(TICKET, "1A", both)
    await shop.given(stock_received(), price_changed())

    again = await caller(shop, "both").execute(TICKET, "1A", both)
    async with opened(database_url) as other:
        elsewhere = await caller(other, "both").execute(TICKET, "1A", both)

    assert [(first.stream, first.version, first.position, first.touched, True)] * 2 == [
        (each.stream, each.version, each.position, each.touched, each.replayed) for each in (again, elsewhere)
    ]


async def test_a_made_up_id_is_found_again_among_the_streams_of_its_decision(given):
    shop = await given(product_created(), stock_received())

    def decide_for(ticket):
        return lambda _ticket, _view: Decision(
            events=(
                *events_of(STOCK, SKU, [stock_received()]),
                *events_of(TICKET, ticket, [SeatTaken("7", "1A")]),
            )
        )

    answers = []
    for _ in range(2):
        each = caller(shop, "made up")
        name = each.new_id()
        answers.append(await each.execute(TICKET, name, decide_for(name), creates=True))

    first, again = answers
    assert (first.stream, first.version, first.position) == (again.stream, again.version, again.position)
    assert first.touched == again.touched
    assert (False, True) == (first.replayed, again.replayed)


async def test_an_answer_is_that_of_the_addressed_stream_also_where_it_has_no_event(given):
    shop = await given(product_created(), stock_received(), price_changed())

    def receive(_product, _view):
        return Decision(events_of(STOCK, SKU, [stock_received()]))

    first, again = [await caller(shop, "other").execute(PRODUCT, SKU, receive) for _ in range(2)]

    assert ("product-85123A", 2, 3, (("stock-85123A", 4),)) == (
        first.stream,
        first.version,
        first.position,
        first.touched,
    )
    assert (first.version, first.position, first.touched) == (again.version, again.position, again.touched)


async def test_what_was_relied_on_must_still_be_so_when_the_decision_is_appended(given):
    shop = await given(product_created(), stock_received())
    seen = []

    def decide(_ticket, view):
        product = view.current(PRODUCT, SKU)
        seen.append(product.unit_price)
        return [SeatTaken("7", "1A")]

    await caller(shop, "warm").execute(PRODUCT, SKU, lambda _product, _view: [])
    await shop.given(price_changed())
    await caller(shop, "late").execute(TICKET, "1A", decide)

    assert ["2.55", "2.95"] == seen


async def test_what_was_merely_known_may_have_moved_on(given):
    shop = await given(product_created())
    await caller(shop, "warm").execute(PRODUCT, SKU, lambda _product, _view: [])
    await shop.given(price_changed())
    seen = []

    def decide(_ticket, view):
        seen.append(view.known(PRODUCT, SKU).unit_price)
        return [SeatTaken("7", "1A")]

    await caller(shop, "late").execute(TICKET, "1A", decide, creates=True)

    assert ["2.55"] == seen


async def test_many_streams_are_loaded_in_one_round_trip(given, monkeypatch):
    shop = await given(*(product_created(sku=f"S{number}") for number in range(20)))
    asked = []
    load = reading.load_streams_async

    async def noted(connection, after, *, limit):
        asked.append(len(after))
        return await load(connection, after, limit=limit)

    monkeypatch.setattr(reading, "load_streams_async", noted)

    def decide(_ticket, view):
        view.prefetch(PRODUCT, [f"S{number}" for number in range(20)])
        assert all(view.known(PRODUCT, f"S{number}") for number in range(20))
        return [SeatTaken("7", "1A")]

    await caller(shop, "many").execute(TICKET, "1A", decide, creates=True)

    assert [20] == asked


async def test_the_version_that_a_caller_saw_is_that_of_the_addressed_stream(given):
    shop = await given(product_created(), stock_received())

    with pytest.raises(ProblemError, match="does not exist") as refused:
        await caller(shop, "late", if_match=1).execute(TICKET, "1A", both)

    assert "precondition-failed" == refused.value.type.slug
    assert 2 == shop.position


@pytest.mark.parametrize("taking", [take, take_blindly])
async def test_of_many_who_race_for_one_tag_one_gets_it(shop, database_url, taking):
    async def answer_of(shop, number):
        try:
            await caller(shop, f"key {number}").execute(TICKET, f"{number}", taking("1A"))
        except ProblemError as problem:
            return problem.type.slug
        return "taken"

    async with opened(database_url) as other:
        answers = await asyncio.gather(
            *(answer_of((shop, other)[number % 2], number) for number in range(20))
        )

    assert ["seat-is-taken"] * 19 + ["taken"] == sorted(answers)
    assert 1 == shop.position


async def test_who_holds_a_stated_condition_is_answered_again_although_it_fails_now(shop):
    first, again = [await caller(shop, "key").execute(TICKET, "1A", take_blindly("1A")) for _ in range(2)]

    assert (first.version, first.position, True) == (again.version, again.position, again.replayed)


async def test_events_are_read_by_all_of_their_tags_page_by_page(shop, monkeypatch):
    monkeypatch.setattr(reading, "EVENTS_PER_STREAM_MAX", 3)
    for number in range(8):
        await caller(shop, f"{number}").execute(TICKET, f"{number}", take(f"{number}", order=f"{number % 2}"))
    counted = []

    def decide(_ticket, view):
        counted.append(view.tagged(TAKEN, "order:1"))
        counted.append(view.tagged(TAKEN, "seat:3", "order:1"))
        counted.append(view.tagged(TAKEN, "seat:3", "order:0"))
        return []

    await caller(shop, "count").execute(TICKET, "none", decide)

    assert [4, 1, 0] == counted[-3:]


async def test_more_events_by_tag_than_a_decision_reads_are_a_refusal_with_the_remedy(shop, monkeypatch):
    monkeypatch.setattr(reading, "EVENTS_PER_STREAM_MAX", 2)
    monkeypatch.setattr(limits, "TAGGED_EVENTS_MAX", 3)
    for number in range(4):
        await caller(shop, f"{number}").execute(TICKET, f"{number}", take(f"{number}"))

    def decide(_ticket, view):
        view.tagged(TAKEN, "order:7")
        return []

    with pytest.raises(ProblemError, match="More than 3 events carry order:7") as refused:
        await caller(shop, "count").execute(TICKET, "none", decide)

    assert "too-many-tagged" == refused.value.type.slug
    assert "aggregate of its own" in refused.value.type.remedy
