"""Pinned lists: all pages of one position, whatever is written in between, or a plain word that it cannot be had."""

import asyncio
import json
import random
from datetime import date

import pytest

from counterfoil.contexts import CONTEXTS
from event_store.log import reading
from projections.catalogue.views import product_page
from projections.inventory.views import stock_level
from projections.mirroring import body_of
from projections.ordering.views import SalesDay, order_summary, sales_daily
from read_api.audit import changed
from tests.projections.feeding import append, feeding, fold_plainly, history, publish
from tests.read_api.stage import summary, token

pytestmark = pytest.mark.anyio

EVENTS_BETWEEN_PAGES = 8

LISTS = {
    "orders": ("/v1/orders", {}, 12, order_summary, "-placed_at", lambda _: True),
    "orders, oldest first": (
        "/v1/orders",
        {"sort": "placed_at"},
        12,
        order_summary,
        "placed_at",
        lambda _: True,
    ),
    "placed orders": (
        "/v1/orders",
        {"status": "placed"},
        2,
        order_summary,
        "-placed_at",
        lambda row: row["status"] == "placed",
    ),
    "confirmed orders to a country": (
        "/v1/orders",
        {"status": "confirmed", "country": "France"},
        1,
        order_summary,
        "-placed_at",
        lambda row: (row["status"], row["country"]) == ("confirmed", "France"),
    ),
    "stock": ("/v1/stock", {"sort": "available"}, 2, stock_level, "available", lambda _: True),
    "products": ("/v1/products", {"stocked": "true"}, 2, product_page, None, lambda row: row["stocked"]),
}


class Trade:
    """A shop whose trade goes on as a test says, carried into all views by a real worker."""

    def __init__(self, stage, feeder, events):
        self.stage = stage
        self.feeder = feeder
        self.events = events

    def go_on(self, count=EVENTS_BETWEEN_PAGES):
        now, self.events = self.events[:count], self.events[count:]
        append(self.stage.database_url, now)
        publish(self.stage.database_url)
        self.feeder.catch_up()

    def rows(self, view, *, upto):
        """The rows of a view at a position, by its folds alone."""
        folded = fold_plainly(view, reading.read_after(self.stage.conn, 0, upto=upto))
        return [json.loads(body_of(versioned.row)) for versioned in folded.values()]


@pytest.fixture
def trade(stage):
    seed = random.randrange(10_000)
    print("seed of the history:", seed)
    events = history(seed, steps=300)
    with feeding(stage.database_url, CONTEXTS.views) as feeder:
        trade = Trade(stage, feeder, events)
        trade.go_on(len(events) // 2)
        yield trade


async def pages(client, path, query, *, limit=100, between=lambda: None):
    """The answers with the pages of a list; `between` is called after each of them but the last."""
    answers = [await client.get(path, params={**query, "limit": limit})]
    while answers[-1].status_code == 200 and answers[-1].json()["next_cursor"] is not None:
        between()
        answers.append(await client.get(answers[-1].links["next"]["url"]))
    return answers


def items(answers):
    return [item for answer in answers for item in answer.json()["items"]]


async def test_all_pages_are_the_list_as_of_the_first_whatever_happens_between_them(trade, open_api):
    moved = set()
    async with open_api() as client:
        for name, (path, query, limit, view, sort, matching) in LISTS.items():
            pinned = await pages(client, path, {**query, "pinned": "true"}, limit=limit, between=trade.go_on)
            now = items(await pages(client, path, query))

            (position,) = {int(answer.headers["pinned-position"]) for answer in pinned}
            found, (key,) = items(pinned), view.key
            wanted = [row for row in trade.rows(view, upto=position) if matching(row)]
            assert sorted(wanted, key=lambda row: row[key]) == sorted(found, key=lambda row: row[key]), name
            if sort is not None:
                places = [item[sort.removeprefix("-")] for item in found]
                assert places == sorted(places, reverse=sort.startswith("-")), name
            moved |= {name} if found != now else set()

    assert len(moved) > 1, "hardly anything happened in between"


async def test_a_position_of_a_pinned_list_is_one_at_which_single_rows_can_be_read(trade, open_api):
    async with open_api() as client:
        first = (await client.get("/v1/stock?pinned=true&limit=1")).headers["pinned-position"]
        trade.go_on(30)
        [then] = (await client.get("/v1/stock?pinned=true&limit=1")).json()["items"]
        alone = await client.get(f"/v1/stock/{then['sku']}?as_of={first}")

    assert alone.status_code == 200


async def test_a_list_that_was_pinned_too_long_ago_says_so(trade, open_api, monkeypatch):
    async with open_api() as client:
        first = await client.get("/v1/orders?pinned=true&limit=1")
        trade.go_on(40)
        after = first.links["next"]["url"]
        for limit in ("EVENTS_SINCE_MAX", "KEYS_CHANGED_MAX", "EVENTS_FOLDED_MAX"):
            with monkeypatch.context() as patch:
                patch.setattr(changed, limit, -1)  # what has changed may have had no events before
                answer = await client.get(after)

            assert (answer.status_code, answer.json()["code"]) == (410, "pin-expired"), limit
            assert answer.json()["facts"] == {"pinned": int(first.headers["pinned-position"])}
        within = await client.get(after)

    assert within.status_code == 200


async def test_sums_are_pinned_as_long_as_the_rows_of_a_page_stay(stage, open_api):
    stage.write(sales_daily, [day(n) for n in range(1, 21)], position=7)
    stage.everybody_stands(9)

    async with open_api() as client:
        first = await client.get("/v1/sales/daily?pinned=true&limit=5")
        stage.write(sales_daily, [day(16)], position=10)
        stage.bury(sales_daily, (date(2026, 1, 3), "EIRE", "GBP"), position=10)
        stage.everybody_stands(12)
        second = await client.get(first.links["next"]["url"])
        third = await client.get(second.links["next"]["url"])
        moved = await client.get(third.links["next"]["url"])
        stage.bury(sales_daily, (date(2026, 1, 8), "EIRE", "GBP"), position=13)
        gone = await client.get(first.links["next"]["url"])

    assert [item["day"][-2:] for item in items([first, second, third])] == [f"{n:02}" for n in range(1, 16)]
    assert {"9"} == {answer.headers["pinned-position"] for answer in (first, second, third)}
    assert {(410, "pin-expired")} == {(each.status_code, each.json()["code"]) for each in (moved, gone)}


async def test_a_pin_that_a_restore_cut_off_is_lost(stage, open_api):
    stage.write(order_summary, [summary(n) for n in range(3)], position=7)
    stage.everybody_stands(9)

    async with open_api() as client:
        first = await client.get("/v1/orders?pinned=true&limit=1")
        stage.fence(epoch=2, first_position=9)
        answer = await client.get(first.links["next"]["url"])

    assert (answer.status_code, answer.json()["code"]) == (410, "position-lost")


async def test_a_pinned_list_stays_where_it_is(stage, open_api):
    stage.write(order_summary, [summary(n) for n in range(3)], position=7)
    stage.everybody_stands(9)
    wish = {"Min-Position": token({3: 9})}

    async with open_api() as client:
        first = await client.get("/v1/orders?pinned=true&limit=1", headers=wish)
        later = await client.get(first.links["next"]["url"], headers=wish)
        cursor = first.json()["next_cursor"]
        unpinned = await client.get(f"/v1/orders?limit=1&cursor={cursor}")

    assert first.status_code == 200
    assert later.json()["errors"][0]["header"] == "Min-Position"
    assert unpinned.json()["code"] == "malformed-cursor"


async def test_a_first_page_waits_until_the_whole_view_is_behind_the_token(stage, open_api):
    """One position of the list can contain what the token names only if every other partition came that far."""
    stage.write(order_summary, [summary(n) for n in range(3)], position=7)
    stage.everybody_stands(9)
    stage.head(12)
    stage.publish(12)
    stage.stand(order_summary, 12, partitions=[3])
    wish = {"Min-Position": token({3: 12}), "Prefer": "wait=10"}

    async with open_api() as client:
        asking = asyncio.create_task(client.get("/v1/orders?pinned=true&limit=1", headers=wish))
        await asyncio.sleep(0.3)
        stage.stand(order_summary, 12)
        first = await asking
        unpinned = await client.get("/v1/orders?limit=1", headers=wish)

    assert (200, "12") == (first.status_code, first.headers.get("pinned-position")), first.text
    assert 200 == unpinned.status_code


def day(number):
    return SalesDay(day=date(2026, 1, number), country="EIRE", currency="GBP", orders=number)
