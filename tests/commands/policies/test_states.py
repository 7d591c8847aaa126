"""What is acknowledged, what is hoped for, and what is let go."""

import pytest

from commands.policies.states import Fact, StateTable
from domain.event import Event
from domain.inventory.stock_item import StockItem
from event_store import codec
from tests.examples import SKU, stock_received, stock_reserved

STREAM = "stock-85123A"


def facts(*events: Event, first: int = 1) -> list[Fact]:
    return [Fact(version, *codec.encode(event)) for version, event in enumerate(events, first)]


@pytest.fixture
def table():
    table = StateTable(states_max=3)
    table.take(STREAM, facts(stock_received(quantity=10)), after=0, read=1)
    return table


def test_hope_stands_on_top_until_it_is_dropped(table):
    table.hope(STREAM, version=2, state=StockItem(SKU, 10, 3))
    assert 2 == table.newest(STREAM).version

    table.drop_hope()

    assert (1, StockItem(SKU, 10, 0)) == (table.newest(STREAM).version, table.newest(STREAM).state)


def test_what_is_accepted_is_acknowledged_and_keeps_the_reading_it_came_from(table):
    held = table.hope(STREAM, version=2, state=StockItem(SKU, 10, 3))
    assert not table.is_settled(STREAM, since=1)

    table.settle({STREAM: held}, number=1)

    assert table.is_settled(STREAM, since=1)
    assert not table.is_settled(STREAM, since=2)
    assert 2 == table.acknowledged_version(STREAM)


def test_an_older_answer_does_not_take_back_what_was_read_since(table):
    held = table.hope(STREAM, version=2, state=StockItem(SKU, 10, 3))
    table.take(STREAM, facts(stock_reserved(), stock_received(quantity=1), first=2), after=1, read=2)

    table.settle({STREAM: held}, number=1)

    assert StockItem(SKU, 11, 3) == table.newest(STREAM).state


def test_what_does_not_continue_the_state_that_is_held_is_ignored(table):
    table.forget(STREAM)

    table.take(STREAM, facts(stock_reserved(), first=2), after=1, read=2)

    assert [STREAM] == table.missing([STREAM])


def test_facts_that_are_held_already_are_not_folded_twice(table):
    both = facts(stock_received(quantity=10), stock_reserved(quantity=3))

    table.take(STREAM, both, after=0, read=2)

    assert StockItem(SKU, 10, 3) == table.newest(STREAM).state


def test_a_stream_without_facts_is_known_to_be_empty(table):
    table.take("stock-new", (), after=0, read=2)

    assert (0, None) == (table.newest("stock-new").version, table.newest("stock-new").state)


def test_the_state_touched_longest_ago_is_let_go(table):
    for number in range(3):
        table.settle({f"stock-{number}": table.hope(f"stock-{number}", version=1, state=None)}, number=1)

    assert [STREAM] == table.missing([STREAM, "stock-0", "stock-1", "stock-2"])
    assert 3 == len(table)


def test_a_stored_fact_that_cannot_be_read_marks_its_stream(table):
    bad = Fact(2, "inventory.stock_reserved.v1", b'{"sku": 7}')

    table.take(STREAM, [bad, *facts(stock_received(), first=3)], after=1, read=2)

    held = table.newest(STREAM)
    assert 1 == held.version
    assert held.failure.startswith("stock-85123A version 2: ")


def test_a_fact_of_a_newer_version_of_the_product_stops_the_reader(table):
    with pytest.raises(codec.UnknownEventType):
        table.take(STREAM, [Fact(2, "inventory.stock_reserved.v9", b"{}")], after=1, read=2)
