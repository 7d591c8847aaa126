"""What is shipped for tests: a sentence that is not true fails, and a scheduler does what its seed says."""

from datetime import datetime
from typing import Any

import pytest

from commands.decision import Decision, DecisionView
from commands.processes.process import Process
from counterfoil.api import GLOBAL, HEAD, KEYED, Context, Kind, View
from counterfoil.testing import queries, scheduling
from counterfoil.testing.scheduling import Crash, Scheduler, VirtualClock
from counterfoil.testing.spec import folded, given, given_streams, state_of
from domain.inventory.stock_item import STOCK
from domain.ordering import order
from domain.ordering.events import CreditNoteIssued
from domain.ordering.order import ORDER, AlreadyShipped, NotConfirmed, OrderUnknown
from tests.counterfoil.lending import BOOK, LENDING, Book, BookLent, books
from tests.examples import NOW, SKU, cancelled, confirmed, credit_note_issued, placed, shipped, stock_received

CANCEL: Any = {"order_id": "536365", "reason": "customer", "now": NOW}
CURIOUS = Process("curious", writes=(STOCK,), start=HEAD)


@CURIOUS.when(CreditNoteIssued, reads=lambda _: [(STOCK, SKU)])
def read_elsewhere(_event: CreditNoteIssued, view: DecisionView, _now: datetime) -> Decision:
    view.current(STOCK, SKU)
    view.current(ORDER, "536365")
    return Decision(((STOCK, SKU, stock_received()),))


def test_a_sentence_about_a_decision_that_is_not_true_fails():
    given(placed(), confirmed()).when(order.cancel, **CANCEL).then(cancelled())
    given(placed(), confirmed(), shipped()).when(order.cancel, **CANCEL).then_refused(AlreadyShipped)

    for wrong in (
        lambda: given(placed(), confirmed()).when(order.cancel, **CANCEL).then(),
        lambda: given(placed(), confirmed()).when(order.cancel, **CANCEL).then_refused(AlreadyShipped),
        lambda: given().when(order.cancel, **CANCEL).then(cancelled()),
        lambda: given().when(order.cancel, **CANCEL).then_refused(NotConfirmed),
        lambda: given().when(order.cancel, **CANCEL).then_refused(OrderUnknown, order_id="other"),
    ):
        with pytest.raises(AssertionError):
            wrong()


def test_a_process_that_reads_a_stream_which_its_reads_does_not_name_is_found():
    with pytest.raises(AssertionError, match="read_elsewhere reads order-536365"):
        given_streams().when(CURIOUS, credit_note_issued(), now=NOW)


def test_states_and_rows_are_what_events_come_to():
    item = state_of(STOCK, stock_received(quantity=3), stock_received(quantity=4))

    assert 7 == item.on_hand
    assert {("dune",): Book("dune", "ada")} == folded(books, BookLent("dune", "ada"), placed())


def test_a_scheduler_kills_at_the_call_of_the_number_and_nowhere_else():
    world = Scheduler(17, crash_at=3)
    world.border()
    world.border()

    with pytest.raises(Crash):
        world.border()
    for _ in range(100):
        world.border()


def test_the_same_seed_crashes_and_overtakes_alike_and_calm_ends_it():
    def story(seed: int) -> list[str]:
        world, events = Scheduler(seed), []
        world.others = [lambda: events.append("another")]
        for _ in range(200):
            try:
                world.border()
            except Crash:
                events.append("crash")
        return events

    events = story(17)

    assert events == story(17) != story(18)
    assert {"another", "crash"} == set(events)
    world = Scheduler(17)
    world.calm = True
    assert not any(world.roll(1.0) or world.border() for _ in range(200))


def test_time_passes_only_when_it_is_advanced():
    clock = VirtualClock(NOW)
    clock.pass_s(1.5)

    assert (1.5, 1.5) == (clock.at_s, (clock.now - NOW).total_seconds())


def test_what_goes_wrong_names_its_seed():
    said: list[str] = []

    found = scheduling.explore(lambda seed: ["odd"] if seed % 2 else [], 10, schedules=4, say=said.append)

    assert {11: ["odd"], 13: ["odd"]} == found
    assert "seeds 10 to 13" in said[0]
    assert scheduling.FOUND_WITHIN == scheduling.first_problem(lambda _: [])
    assert 0 == scheduling.first_problem(lambda seed: ["odd"] if seed == scheduling.FIXED_SEED else [])


@pytest.mark.anyio
async def test_views_have_what_was_recorded_and_sentences_about_them_that_are_not_true_fail(
    database_url: str,
):
    dune = {"book_id": "dune", "reader_id": "ada"}
    async with queries.opened(database_url, LENDING) as library:
        (await library.get("/v1/books")).then_refused(503, "view-unavailable")
        await library.record((BOOK, "dune", BookLent("dune", "ada")))
        await library.carried()
        answer, listed = await library.get("/v1/books/dune"), await library.get("/v1/books")

    answer.then_shown(dune)
    listed.then_listed(dune)
    for wrong in (
        lambda: answer.then_shown({**dune, "reader_id": "bob"}),
        lambda: answer.then_refused(404, "not-found"),
        listed.then_listed,
        lambda: listed.then_listed(dune, more=True),
    ):
        with pytest.raises(AssertionError):
            wrong()


@pytest.mark.anyio
@pytest.mark.parametrize(("kind", "said"), [(KEYED, "fragile failed on"), (GLOBAL, "fragile stopped")])
async def test_a_fold_that_fails_is_named(kind: Kind, said: str, database_url: str):
    fragile = View(name="fragile", row=Book, key=("book_id",), shape=1, kind=kind, category=BOOK.category)

    @fragile.on(BookLent, keys=lambda event: [(event.book_id,)])
    def lent(_book: Book | None, _event: BookLent) -> Book:
        raise ValueError("nobody may have it")

    declared = Context(name="fragile", aggregates=(BOOK,), views=(fragile,))
    async with queries.opened(database_url, declared) as library:
        await library.record((BOOK, "dune", BookLent("dune", "ada")))

        with pytest.raises(AssertionError, match=f"{said}.*nobody may have it"):
            await library.carried()
