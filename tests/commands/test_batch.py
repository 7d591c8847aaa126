"""POST /v1/commands: independent commands in one request, each answered as by its own route."""

import itertools
import json
from datetime import date

import msgspec
import pytest

from commands import limits
from counterfoil.api import Answer, Caller, Deprecation, command, command_router, deprecated
from counterfoil.testing import http
from event_store.transport import position_token
from tests.commands.conftest import opened
from tests.counterfoil import lending
from tests.counterfoil.lending import LENDING, BookLentAlready, LendBook
from tests.examples import confirmed, placed, product_created, stock_received

pytestmark = pytest.mark.anyio

FACTS = (product_created(), stock_received(), placed(), confirmed())
ORDER = {
    "order_id": "7",
    "country": "x",
    "currency": "GBP",
    "lines": [{"sku": "85123A", "quantity": 1}],
}
NOTE = {
    "credit_note_id": "C7",
    "country": "x",
    "currency": "GBP",
    "lines": [{"sku": "85123A", "quantity": 1, "unit_price": "1"}],
}

COMMANDS = [
    ("create_product", None, "/v1/products", {"sku": "B", "title": "B", "stocked": True}),
    ("create_product", None, "/v1/products", {"sku": "85123A", "title": "taken", "stocked": True}),
    ("change_price", "85123A", "/v1/products/85123A/price", {"unit_price": "7", "currency": "GBP"}),
    ("change_price", "else", "/v1/products/else/price", {"unit_price": "7", "currency": "GBP"}),
    ("receive_stock", "85123A", "/v1/stock/85123A/receipts", {"quantity": 5}),
    ("receive_stock", "85123A", "/v1/stock/85123A/receipts", {"quantity": "5"}),
    ("adjust_stock", "85123A", "/v1/stock/85123A/adjustments", {"delta": -99, "reason": "loss"}),
    ("place_order", None, "/v1/orders", ORDER),
    (
        "place_order",
        None,
        "/v1/orders",
        {**ORDER, "order_id": "8", "lines": [{"sku": "none", "quantity": 1}]},
    ),
    ("ship_order", "536365", "/v1/orders/536365/shipment", {}),
    ("cancel_order", "-", "/v1/orders/-/cancellation", {"reason": "customer"}),
    ("issue_credit_note", None, "/v1/credit-notes", NOTE),
]


def entry(name, target, body, *, key):
    return {"key": key, "command": name, "body": body, **({"target": target} if target else {})}


def same(problem_or_answer):
    """What must not differ between the two ways: everything but who asked and where the log stood."""
    return {
        name: value
        for name, value in problem_or_answer.items()
        if name not in {"key", "status", "correlation_id", "position"}
    }


async def test_each_command_is_answered_as_by_its_own_route(new_database, database_url):
    async with opened(new_database()) as alone, opened(database_url) as together:
        await alone.given(*FACTS)
        await together.given(*FACTS)
        single = [await alone.post(path, body) for _, _, path, body in COMMANDS]

        batch = await together.batch(
            *(entry(name, target, body, key=f"k{n}") for n, (name, target, _, body) in enumerate(COMMANDS))
        )

    assert 200 == batch.status
    results = batch.body["results"]
    assert [answer.status for answer in single] == [result["status"] for result in results]
    assert [same(answer.body) for answer in single] == [same(result) for result in results]
    assert [f"k{n}" for n in range(len(COMMANDS))] == [result["key"] for result in results]


async def test_a_key_counts_the_same_alone_and_in_a_batch(given):
    shop = await given(*FACTS)
    alone = await shop.post("/v1/orders", ORDER, key="either")

    batch = await shop.batch(
        entry("place_order", None, ORDER, key="either"),
        entry("place_order", None, {**ORDER, "country": "y"}, key="either"),
    )

    [same_again, another] = batch.body["results"]
    assert {"key": "either", "status": 201, "replayed": True, **alone.body} == same_again
    assert (422, "idempotency-key-reused") == (another["status"], another["code"])


async def test_a_batch_sent_again_changes_nothing(given):
    shop = await given(*FACTS)
    entries = [entry("receive_stock", "85123A", {"quantity": 1}, key=f"r{n}") for n in range(50)]
    first = await shop.batch(*entries)
    position = shop.position

    second = await shop.batch(*entries)

    assert position == shop.position
    assert first.body["results"] == [same_but_replayed(result) for result in second.body["results"]]


def same_but_replayed(result):
    assert result["replayed"]
    return {name: value for name, value in result.items() if name != "replayed"}


async def test_commands_on_one_stream_keep_their_order(given):
    shop = await given(*FACTS)
    references = [f"delivery-{number}" for number in range(100)]

    await shop.batch(
        *itertools.chain.from_iterable(
            (
                entry("receive_stock", "85123A", {"quantity": 1, "reference": text}, key=text),
                entry(
                    "create_product",
                    None,
                    {"title": text, "stocked": False},
                    key=f"product-{text}",
                ),
            )
            for text in references
        )
    )

    assert references == [event.reference for event in shop.events("stock-85123A")[1:]]


async def test_an_order_can_be_placed_and_cancelled_in_one_batch(given):
    shop = await given(*FACTS)

    batch = await shop.batch(
        entry("place_order", None, ORDER, key="place"),
        entry("cancel_order", "7", {"reason": "customer"}, key="cancel"),
        entry("ship_order", "7", {}, key="ship"),
    )

    assert [201, 201, 409] == [result["status"] for result in batch.body["results"]]
    assert "not-confirmed" == batch.body["results"][2]["code"]


async def test_the_token_covers_everything_that_the_batch_touched(given):
    shop = await given(*FACTS)

    batch = await shop.batch(
        *(
            entry("create_product", None, {"sku": f"P{n}", "title": "x", "stocked": True}, key=f"{n}")
            for n in range(50)
        )
    )

    token = position_token.decode(batch.headers["position"])
    assert shop.position == token.highest
    assert len(token.partitions) > 6


async def test_a_version_can_be_asked_for_in_a_batch(given):
    shop = await given(*FACTS)
    price = {"unit_price": "8", "currency": "GBP"}

    batch = await shop.batch(
        {**entry("change_price", "85123A", price, key="a"), "if_match": 1},
        {**entry("change_price", "85123A", price, key="b"), "if_match": 1},
    )

    assert [201, 412] == [result["status"] for result in batch.body["results"]]


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"key": ""}, 400, "idempotency-key-malformed"),
        ({"key": "a b"}, 400, "idempotency-key-malformed"),
        ({"command": "drop_table"}, 422, "unknown-command"),
        ({"target": "-bad-"}, 422, "validation-failed"),
        ({"target": None}, 422, "validation-failed"),
        (
            {"command": "create_product", "body": {"sku": "B", "title": "B", "stocked": True}},
            422,
            "validation-failed",
        ),
        ({"body": {"quantity": 0}}, 422, "validation-failed"),
        ({"body": {}}, 422, "validation-failed"),
    ],
)
async def test_a_bad_command_does_not_touch_the_others(given, change, status, code):
    shop = await given(*FACTS)
    good = entry("receive_stock", "85123A", {"quantity": 1}, key="good")

    batch = await shop.batch(good, {**good, "key": "bad", **change}, {**good, "key": "good-too"})

    assert [201, status, 201] == [result["status"] for result in batch.body["results"]]
    assert code == batch.body["results"][1]["code"]


@pytest.mark.parametrize(
    ("body", "status", "pointers"),
    [
        ({"commands": []}, 422, ["/commands"]),
        ({"commands": [{"key": "a", "command": "ship_order"}] * 501}, 422, ["/commands"]),
        ({"commands": [{"command": "ship_order"}]}, 422, ["/commands/0/key"]),
        ({"commands": [{"key": 1, "command": "ship_order"}]}, 422, ["/commands/0/key"]),
        ({"commands": [{"key": "a", "command": "x", "extra": 1}]}, 422, ["/commands/0/extra"]),
        ({"commands": [{"key": "a", "command": "x", "if_match": -1}]}, 422, ["/commands/0/if_match"]),
        ({"commands": [{"key": "a", "command": "x", "body": []}]}, 422, ["/commands/0/body"]),
        ([], 422, [""]),
        (b'{"commands":[{"key":"a","command":"x","body":{"a":NaN}}]}', 400, [""]),
        (b'{"commands":[{"key":"a","key":"b","command":"x"}]}', 400, ["/commands/0/key"]),
        (b'{"commands":', 400, [""]),
    ],
)
async def test_a_batch_that_is_none_is_refused_as_a_whole(shop, body, status, pointers):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()

    answer = await shop.post("/v1/commands", content, key=None)

    answer.then_refused(status, "malformed-json" if status == 400 else "validation-failed", at=pointers)
    assert 0 == shop.position


async def test_a_member_that_stands_twice_in_one_commands_body_refuses_that_command(given):
    shop = await given(*FACTS)
    twice = b'{"key":"a","command":"receive_stock","target":"85123A","body":{"quantity":1,"quantity":2}}'
    good = b'{"key":"b","command":"receive_stock","target":"85123A","body":{"quantity":1}}'

    answer = await shop.post("/v1/commands", b'{"commands":[%b,%b]}' % (twice, good), key=None)

    assert [400, 201] == [result["status"] for result in answer.body["results"]]


async def test_a_command_that_will_go_says_so_in_its_result_and_the_batch_does_not(database_url):
    router = command_router("lending")

    @command(router, "/books/{book_id}/loan", requires="books:lend", refusals=(BookLentAlready,))
    @deprecated(Deprecation(since=date(2026, 1, 31), sunset=date(2027, 1, 31), successor="/v2/loans"))
    async def lend_book(book_id: str, body: LendBook, caller: Caller) -> Answer:
        return await lending.lend_book(book_id, body, caller)

    @command(router, "/books/{book_id}/fetching", requires="books:lend", refusals=(BookLentAlready,))
    async def fetch_book(book_id: str, body: LendBook, caller: Caller) -> Answer:
        return await lending.lend_book(book_id, body, caller)

    said = {"since": "2026-01-31", "sunset": "2027-01-31", "successor": "/v2/loans"}

    async with http.opened(database_url, msgspec.structs.replace(LENDING, commands=router)) as library:
        batch = await library.batch(
            entry("lend_book", "dune", {"reader_id": "ada"}, key="1"),
            entry("lend_book", "dune", {"reader_id": "bob"}, key="2"),
            entry("lend_book", "dune", {}, key="3"),
            entry("fetch_book", "emma", {"reader_id": "ada"}, key="4"),
        )
        alone = await library.post("/v1/books/dune/loan", {"reader_id": "eve"})
        schemas = library.app.openapi()["components"]["schemas"]

    results = batch.body["results"]
    assert [201, 409, 422, 201] == [result["status"] for result in results]
    assert [said, said, said, None] == [result.get("deprecation") for result in results]
    assert "deprecation" not in batch.headers
    assert "@1769817600" == alone.headers["deprecation"]
    assert schemas["BatchedLendBook"]["deprecated"] is True
    assert "deprecated" not in schemas["BatchedFetchBook"]


async def test_a_batch_that_finds_no_room_is_refused_before_any_of_it_is_done(given):
    shop = await given(*FACTS)
    execution = shop.app.state.dispatcher.execution
    held = execution.reserve(4_096 - 10)
    try:
        answer = await shop.batch(
            *(entry("receive_stock", "85123A", {"quantity": 1}, key=f"{n}") for n in range(11))
        )
        answer.then_refused(503, "too-busy")
        assert "1" == answer.headers["retry-after"]
        assert len(FACTS) == shop.position
    finally:
        for slot in held:
            slot.free()


async def test_a_full_batch_is_carried_out(given):
    shop = await given(*FACTS)
    batch = await shop.batch(
        *(
            entry("place_order", None, {**ORDER, "order_id": f"o{n}"}, key=f"{n}")
            for n in range(limits.BATCH_COMMANDS_MAX)
        )
    )

    assert {201} == {result["status"] for result in batch.body["results"]}
    assert len(FACTS) + 500 == shop.position
