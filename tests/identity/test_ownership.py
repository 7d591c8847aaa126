"""Z2 and Z1's columns own, other and absent: to whom an object does not belong, it does not exist."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from counterfoil.contexts import CONTEXTS
from read_api import ordering
from runtime.http.access import PERMISSIONS, verdict
from runtime.http.principal import Owned
from tests.identity.conftest import with_an_owner
from tests.identity.shop import PRODUCT, bearer
from tests.projections.feeding import feeding, publish, settle

pytestmark = pytest.mark.anyio

ABSENT = "018f0000-0000-7000-8000-000000000000"
LINES = [{"sku": "1", "quantity": 1}]
MINE = {"country": "Italy", "currency": "GBP", "lines": LINES}
TIMED = 30
"""Pairs of requests whose times are compared."""

Ask = Callable[[Any, str, str], Awaitable[httpx.Response]]


def get(path: str) -> Ask:
    async def ask(shop: Any, order_id: str, token: str) -> httpx.Response:
        answer: httpx.Response = await shop.get(
            path.format(order_id=order_id, position=shop.types().total()), token
        )
        return answer

    return ask


async def cancel(shop: Any, order_id: str, token: str) -> httpx.Response:
    path = f"/v1/orders/{order_id}/cancellation"
    answer: httpx.Response = await shop.post(path, {"reason": "customer"}, token)
    return answer


BY_ID: dict[tuple[str, str], tuple[Ask, int | str]] = {
    ("GET", "/v1/orders/{order_id}"): (get("/v1/orders/{order_id}"), 200),
    ("HEAD", "/v1/orders/{order_id}"): (get("/v1/orders/{order_id}?as_of={position}"), 200),
    ("GET", "/v1/orders/{order_id}/receipt"): (get("/v1/orders/{order_id}/receipt"), "not-sealed"),
    ("HEAD", "/v1/orders/{order_id}/receipt"): (get("/v1/orders/{order_id}/receipt?version=1"), "not-sealed"),
    ("POST", "/v1/orders/{order_id}/cancellation"): (cancel, 201),
    ("GET", "/v1/orders/{order_id}/history"): (get("/v1/orders/{order_id}/history"), 200),
    ("HEAD", "/v1/orders/{order_id}/history"): (get("/v1/orders/{order_id}/history?as_of={position}"), 200),
}
"""How each route of something that somebody owns is asked, and what its owner is answered: a status, or a code."""

OF_CUSTOMERS: dict[str, dict[str, object]] = {
    "profile": {"country": "Italy"},
    "addresses": {"address_id": "home", "recipient": "A", "lines": "1 High Street", "country": "Italy"},
    "address-removals": {"address_id": "home"},
    "preferences": {"preference": "language", "value": "en"},
    "consents": {"purpose": "marketing", "policy_version": "1"},
    "consent-withdrawals": {"purpose": "marketing"},
    "erasure": {},
}
"""What customers may change of themselves, with a body for each."""

CART_CHANGES: dict[str, dict[str, object]] = {
    "items": {"sku": "1", "quantity": 1},
    "quantities": {"line_id": 1, "quantity": 2},
    "prices": {},
    "removals": {"line_id": 1},
    "assignment": {},
    "addresses": {"recipient": "A", "lines": "1 High Street", "country": "Italy"},
    "checkout-abortion": {},
    "coupon-removals": {"code": "none"},
}
"""What buyers may do to a cart of their own, with a body for each."""

CART_ENDS = ("merges", "shipping", "coupons", "checkout", "order")


def routes(ways: str, *paths: str) -> list[tuple[str, str]]:
    """Each of the paths in each of the ways."""
    return [(way, f"/v1/{path}") for way in ways.split() for path in paths]


OF_CARTS = (
    *routes("GET HEAD", "carts", "carts/{cart_id}", "carts/{cart_id}/addresses"),
    *routes("POST", "carts", *(f"carts/{{cart_id}}/{name}" for name in (*CART_CHANGES, *CART_ENDS))),
)
OF_PAYMENTS = (
    *routes("POST", "payments", "payments/{payment_id}/authorisation", "store-credits/{customer_id}/holds"),
    *routes("GET HEAD", "payments/{payment_id}", "orders/{order_id}/payments", "store-credits/{customer_id}"),
)

NEEDS_KEYS = {"addresses", "erasure"}
"""What an installation without a key database refuses to everybody alike."""

LISTS = routes("GET HEAD", "orders", "order-history")
OF_THEMSELVES = (
    *routes("GET HEAD", "customers/{customer_id}", "customers/{customer_id}/export"),
    *routes("POST", *(f"customers/{{customer_id}}/{name}" for name in OF_CUSTOMERS)),
)

ELSEWHERE = {
    **dict.fromkeys(routes("POST GET HEAD", "customers"), "test_customers_register_themselves"),
    **dict.fromkeys(OF_THEMSELVES, "test_a_customer_is_shown_and_changed_by_themselves_alone"),
    **dict.fromkeys(routes("GET HEAD", "orders/{order_id}/contact"), "tests/customers/test_contact.py"),
    **dict.fromkeys(routes("GET HEAD", "accounts/{account_id}"), "tests/identity/test_accounts_shown.py"),
    **dict.fromkeys(OF_CARTS, "test_a_cart_is_shown_to_and_changed_by_its_buyer_alone"),
    **dict.fromkeys(OF_PAYMENTS, "test_a_payment_is_made_by_and_shown_to_its_buyer_alone"),
    ("POST", "/v1/orders"): "test_a_customer_orders_for_themselves_now_and_at_list_prices",
    **dict.fromkeys(LISTS, "test_lists_have_ones_own_rows_in_every_form"),
}


class Bought:
    """Two customers, a guest and support, with an order each, all in the views."""

    def __init__(self, shop: Any) -> None:
        self.shop = shop
        self.tokens: dict[str, str] = {}
        self.orders: dict[str, str] = {}

    async def begin(self) -> None:
        shop = self.shop
        await asyncio.to_thread(settle, shop.url)
        await shop.post("/v1/products", PRODUCT, await shop.token_as("merchandiser"))
        for name, role in (
            ("ada", "customer"),
            ("bob", "customer"),
            ("guest", "guest"),
            ("support", "support"),
        ):
            self.tokens[name] = await shop.token_as(role, name=f"-{name}")
            self.orders[name] = await self.place(name)
        await self.catch_up()

    async def place(self, name: str) -> str:
        """The id of a new order."""
        order = MINE if name != "support" else {**MINE, "customer_id": "somebody"}
        placed = await self.shop.post("/v1/orders", order, self.tokens[name])
        assert placed.status_code == 201, placed.text
        return str(placed.json()["id"])

    async def catch_up(self) -> None:
        await asyncio.to_thread(self._catch_up)
        await self.shop.query_app.state.reads.poller.next_snapshot()

    def _catch_up(self) -> None:
        publish(self.shop.url)
        with feeding(self.shop.url, CONTEXTS.views) as feeder:
            feeder.catch_up()

    async def orders_of(self, name: str) -> list[str]:
        """The orders of somebody, as support sees them, newest first."""
        path = f"/v1/orders?ids={self.orders[name]}"
        [row] = (await self.shop.get(path, self.tokens["support"])).json()["items"]
        path = f"/v1/orders?limit=100&customer={row['customer_id']}"
        page = await self.shop.get(path, self.tokens["support"])
        return [row["order_id"] for row in page.json()["items"]]


@pytest.fixture(scope="module")
async def bought(new_database, tmp_path_factory):
    """One shop for all tests here: each looks at what there is now."""
    async with with_an_owner(new_database(), home=tmp_path_factory.mktemp("shop")) as shop:
        bought = Bought(shop)
        await bought.begin()
        yield bought


async def test_every_route_of_something_owned_is_asked_here(bought):
    shop = bought.shop
    owned = {
        (method, route.path)
        for app in (shop.command_app, shop.query_app)
        for method, route in app.pipeline.table
        if isinstance(route.requires, Owned)
    }

    assert owned == BY_ID.keys() | ELSEWHERE.keys()
    assert {"guest", "customer"} == {
        role for role in PERMISSIONS if verdict(role, Owned("orders:read")) == "own"
    }


@pytest.mark.parametrize("name", ["ada", "guest"])
async def test_z1_z2_an_object_of_somebody_else_is_answered_as_one_that_there_is_not(bought, name):
    shop, token = bought.shop, bought.tokens[name]
    for ask, wanted in BY_ID.values():
        foreign = await ask(shop, bought.orders["bob"], token)
        absent = await ask(shop, ABSENT, token)

        assert 404 == foreign.status_code == absent.status_code, foreign.text
        assert shown(foreign, bought.orders["bob"]) == shown(absent, ABSENT)
        own = await ask(shop, bought.orders[name], token)
        assert wanted in {own.status_code, own.json().get("code")}, own.text
        for everybodys in (bought.orders["ada"], bought.orders["support"]):
            answer = await ask(shop, everybodys, bought.tokens["support"])
            assert wanted in {answer.status_code, answer.json().get("code")}, answer.text


@pytest.mark.parametrize("headers", [{"if-match": "*"}, {"if-match": '"1"'}, {"if-match": '"1.s1_b1.5"'}])
async def test_a_precondition_on_something_of_somebody_else_fails_as_on_what_there_is_not(bought, headers):
    shop, token = bought.shop, bought.tokens["ada"]

    foreign, absent = [
        await shop.post(f"/v1/orders/{each}/cancellation", {"reason": "customer"}, token, headers=headers)
        for each in (bought.orders["bob"], ABSENT)
    ]

    assert 412 == foreign.status_code
    assert shown(foreign, bought.orders["bob"]) == shown(absent, ABSENT)


async def test_a_tag_that_its_owner_was_given_answers_nobody_else(bought):
    path = f"/v1/orders/{bought.orders['bob']}"
    queries = bought.shop.queries
    tag = (await queries.get(path, headers=bearer(bought.tokens["bob"]))).headers["etag"]

    for name, status in (("bob", 304), ("ada", 404)):
        for given in (tag, "*"):
            asked = {**bearer(bought.tokens[name]), "if-none-match": given}
            assert status == (await queries.get(path, headers=asked)).status_code


async def test_lists_have_ones_own_rows_in_every_form(bought):
    shop, orders = bought.shop, bought.orders
    for name in ("ada", "guest"):
        token, own = bought.tokens[name], await bought.orders_of(name)
        assert orders[name] in own
        for query in ("s", "s?limit=50&from=2020-01-01", "s?pinned=true", "s?sort=-placed_at", "-history"):
            page = (await shop.get(f"/v1/order{query}", token)).json()
            assert (own, None) == ([row["order_id"] for row in page["items"]], page["next_cursor"]), query
        for customer in ("customer-bob", "nobody"):
            assert [] == (await shop.get(f"/v1/orders?customer={customer}", token)).json()["items"]
        assert [] == (await shop.get("/v1/orders?status=shipped", token)).json()["items"]
        by_ids = (await shop.get(f"/v1/orders?ids={orders['bob']},{orders[name]},{ABSENT}", token)).json()
        assert [orders[name]] == [row["order_id"] for row in by_ids["items"]]
        assert [orders["bob"], ABSENT] == by_ids["missing"]
        for media_type in ("text/csv", "application/x-ndjson"):
            export = await shop.queries.get("/v1/orders", headers={**bearer(token), "accept": media_type})
            assert [orders[name]] == [each for each in orders.values() if each in export.text]
            assert all(each in export.text for each in own)


async def test_a_pinned_list_of_ones_own_is_folded_back_without_others(bought):
    shop, token = bought.shop, bought.tokens["ada"]
    placed = {name: [await bought.place(name), await bought.place(name)] for name in ("ada", "bob")}
    await bought.catch_up()
    first = (await shop.get("/v1/orders?pinned=true&limit=1", token)).json()
    for name in ("ada", "bob"):
        assert 201 == (await cancel(shop, placed[name][0], bought.tokens[name])).status_code
    await bought.catch_up()

    path = f"/v1/orders?pinned=true&limit=100&cursor={first['next_cursor']}"
    rest = (await shop.get(path, token)).json()["items"]
    foreign = (await shop.get(path, bought.tokens["bob"])).json()

    assert ["placed"] == [row["status"] for row in rest if row["order_id"] in placed["ada"]]
    assert len(rest) == len(await bought.orders_of("ada")) - 1
    assert {"customer-ada"} == {row["customer_id"] for row in [*first["items"], *rest]}
    assert {"customer-bob"} >= {row["customer_id"] for row in foreign["items"]}


async def test_a_customer_orders_for_themselves_now_and_at_list_prices(bought):
    shop = bought.shop
    given = [{**LINES[0], "unit_price": "0.01"}]
    said = {
        "/customer_id": {"customer_id": "customer-bob"},
        "/order_id": {"order_id": "mine"},
        "/placed_at": {"placed_at": "2020-01-01T00:00:00Z"},
        "/lines/0/unit_price": {"lines": given},
    }
    for pointer, more in said.items():
        for name in ("ada", "guest"):
            refused = await shop.post("/v1/orders", {**MINE, **more}, bought.tokens[name])
            assert (403, "forbidden") == (refused.status_code, refused.json()["code"])
            assert [pointer] == [fault["pointer"] for fault in refused.json()["errors"]]
    for unknown in ({"price": 1}, {"status": "shipped"}, {"total": 1}):
        assert 422 == (await shop.post("/v1/orders", {**MINE, **unknown}, bought.tokens["ada"])).status_code
    everything = {**MINE, "customer_id": "customer-bob", "lines": given}
    for number, token in enumerate((bought.tokens["support"], await shop.token_as("service"))):
        placed = await shop.post("/v1/orders", {**everything, "order_id": f"chosen-{number}"}, token)
        assert 201 == placed.status_code, placed.text
    own = await shop.post("/v1/orders", {**MINE, "customer_id": "customer-ada"}, bought.tokens["ada"])
    [event] = shop.events(f"order-{own.json()['id']}")
    assert ("customer-ada", 255) == (event.customer_id, event.total)


async def test_the_same_key_of_two_customers_is_two_orders(bought):
    headers = {"idempotency-key": "the-same"}

    placed = [
        await bought.shop.post("/v1/orders", MINE, bought.tokens[n], headers=headers) for n in ("ada", "bob")
    ]
    again = await bought.shop.post("/v1/orders", MINE, bought.tokens["ada"], headers=headers)

    assert [201, 201] == [each.status_code for each in placed]
    assert placed[0].json()["id"] != placed[1].json()["id"]
    assert placed[0].content == again.content


@pytest.mark.parametrize("ask", [get("/v1/orders/{order_id}"), get("/v1/orders/{order_id}?as_of=1"), cancel])
async def test_z2_what_is_somebody_elses_takes_as_long_as_what_there_is_not(bought, ask):
    token = bought.tokens["ada"]

    async def took_s(order_id: str) -> float:
        began = time.perf_counter()
        assert 404 == (await ask(bought.shop, order_id, token)).status_code
        return time.perf_counter() - began

    ratios = []
    for _ in range(20):  # a machine that is busy disturbs a round, not all of them
        pairs = [(await took_s(bought.orders["bob"]), await took_s(ABSENT)) for _ in range(TIMED)]
        foreign, absent = (statistics.median(times) for times in zip(*pairs, strict=True))
        ratios.append(foreign / absent)
        if 0.8 < ratios[-1] < 1.2:
            return
    raise AssertionError(f"foreign takes {ratios} times as long as absent")


def test_the_owner_of_an_order_is_the_customer_in_its_rows():
    assert {"customer_id"} == {ordering.ORDER.owner, ordering.ORDERS.owner}


def shown(answer: httpx.Response, order_id: str) -> tuple[Any, ...]:
    """What an answer says, but for the id that was asked for and what belongs to the moment."""
    body = answer.json()
    del body["correlation_id"]
    varies = {"correlation-id", "content-length", "date"}
    headers = {name: value for name, value in answer.headers.items() if name not in varies}
    return answer.status_code, repr(body).replace(order_id, "<id>"), headers


async def registered(bought: Bought, name: str) -> str:
    """The id of somebody, who is a customer from then on."""
    made = await bought.shop.post("/v1/customers", {"country": "Italy"}, bought.tokens[name])
    if made.status_code == 201:
        return str(made.json()["id"])
    return str(made.json()["facts"]["customer_id"])


async def test_customers_register_themselves(bought):
    shop = bought.shop
    ids = {name: await registered(bought, name) for name in ("ada", "bob", "guest")}
    other = {"customer_id": ids["bob"], "country": "Italy"}
    await bought.catch_up()

    assert 403 == (await shop.post("/v1/customers", other, bought.tokens["ada"])).status_code
    for name in ("ada", "guest"):
        page = await shop.get("/v1/customers", bought.tokens[name])
        assert [ids[name]] == [row["customer_id"] for row in page.json()["items"]]
        assert (403) == (await shop.get("/v1/customer-search", bought.tokens[name])).status_code


async def test_a_customer_is_shown_and_changed_by_themselves_alone(bought):
    shop, token = bought.shop, bought.tokens["ada"]
    ada, bob = [await registered(bought, name) for name in ("ada", "bob")]
    await bought.catch_up()

    for part in ("", "/export"):
        foreign, absent = [await shop.get(f"/v1/customers/{each}{part}", token) for each in (bob, ABSENT)]
        assert 404 == foreign.status_code == absent.status_code
        assert shown(foreign, bob) == shown(absent, ABSENT)
        assert 200 == (await shop.get(f"/v1/customers/{ada}{part}", token)).status_code
    for name, body in OF_CUSTOMERS.items():
        foreign, absent, own = [
            await shop.post(f"/v1/customers/{each}/{name}", body, token) for each in (bob, ABSENT, ada)
        ]
        assert shown(foreign, bob) == shown(absent, ABSENT)
        wanted = (409, 409) if name in NEEDS_KEYS else (404, 201)
        assert wanted == (foreign.status_code, own.status_code), name


async def test_a_cart_is_shown_to_and_changed_by_its_buyer_alone(bought):
    """vendure 263: nobody gets a cart of somebody else, whatever id they send."""
    shop, carts = bought.shop, {}
    for name in ("ada", "bob", "guest"):
        opened = await shop.post("/v1/carts", {"currency": "GBP"}, bought.tokens[name])
        assert 201 == opened.status_code, opened.text
        carts[name] = str(opened.json()["id"])
    await bought.catch_up()

    for said in ({"cart_id": "mine"}, {"customer_id": "customer-bob"}):
        refused = await shop.post("/v1/carts", {"currency": "GBP", **said}, bought.tokens["ada"])
        assert 403 == refused.status_code
    for name in ("ada", "guest"):
        token = bought.tokens[name]
        foreign, absent, own = [
            await shop.get(f"/v1/carts/{each}", token) for each in (carts["bob"], ABSENT, carts[name])
        ]
        assert (404, 200) == (foreign.status_code, own.status_code)
        assert shown(foreign, carts["bob"]) == shown(absent, ABSENT)
        assert (name == "guest") == own.json()["guest"]
        without = [await shop.get(f"/v1/carts/{each}/addresses", token) for each in (carts["bob"], ABSENT)]
        assert [404, 404] == [each.status_code for each in without]
        assert shown(without[0], carts["bob"]) == shown(without[1], ABSENT)
        bodies = ({"option_id": "1"}, {"code": "none"}, {"country": "Italy"}, {"checkout_id": ABSENT})
        for part, body in zip(CART_ENDS[1:], bodies, strict=True):
            refused = [
                await shop.post(f"/v1/carts/{each}/{part}", body, token) for each in (carts["bob"], ABSENT)
            ]
            assert shown(refused[0], carts["bob"]) == shown(refused[1], ABSENT), part
            assert "cart-unknown" == refused[0].json()["code"]
        listed = (await shop.get("/v1/carts", token)).json()["items"]
        found = {row["cart_id"] for row in listed}
        assert (True, False) == (carts[name] in found, carts["bob"] in found)
        for part, body in CART_CHANGES.items():
            foreign, absent, own = [
                await shop.post(f"/v1/carts/{each}/{part}", body, token)
                for each in (carts["bob"], ABSENT, carts[name])
            ]
            assert shown(foreign, carts["bob"]) == shown(absent, ABSENT)
            wanted = (409, 409) if part in NEEDS_KEYS else (404, 201)
            assert wanted == (foreign.status_code, own.status_code), part


async def test_a_payment_is_made_by_and_shown_to_its_buyer_alone(bought):
    shop, ids = bought.shop, {"order": {}, "payment": {}, "customer": {}}
    body, credit = {"method_ref": "pm_visa"}, {"credit_id": "c", "currency": "GBP", "amount": 1}
    finance = await shop.token_as("finance")

    def hold(each, token):
        return shop.post(f"/v1/store-credits/{each}/holds", {"hold_id": "h", "order_id": own_order}, token)

    asks = (
        ("payment", 200, lambda each, token: shop.get(f"/v1/payments/{each}", token)),
        ("customer", 200, lambda each, token: shop.get(f"/v1/store-credits/{each}", token)),
        ("customer", 409, hold),
        ("order", 200, lambda each, token: shop.get(f"/v1/orders/{each}/payments", token)),
        ("payment", 201, lambda each, token: shop.post(f"/v1/payments/{each}/authorisation", {}, token)),
        ("order", 409, lambda each, token: shop.post("/v1/payments", {**body, "order_id": each}, token)),
    )
    for name in ("ada", "bob", "guest"):
        ids["order"][name] = await bought.place(name)
        made = await asks[-1][-1](ids["order"][name], bought.tokens[name])
        ids["payment"][name] = made.json()["id"]
        ids["customer"][name] = shop.events(f"payment-{made.json()['id']}")[0].customer_id
        path = f"/v1/store-credits/{ids['customer'][name]}/credits"
        assert 201 == (await shop.post(path, credit, finance)).status_code
    await bought.catch_up()
    for name in ("ada", "guest"):
        own_order = ids["order"][name]
        for kind, status, ask in asks:
            asked = (ids[kind][name], ids[kind]["bob"], ABSENT)
            own, foreign, absent = [await ask(each, bought.tokens[name]) for each in asked]
            assert (status, 404) == (own.status_code, foreign.status_code), own.text
            assert shown(foreign, ids[kind]["bob"]) == shown(absent, ABSENT)


async def cart_of(bought: Bought, name: str, *, pieces: int = 1) -> str:
    """A new cart of somebody, with so many pieces."""
    opened = await bought.shop.post("/v1/carts", {"currency": "GBP"}, bought.tokens[name])
    cart_id = str(opened.json()["id"])
    item = {"sku": "1", "quantity": pieces}
    added = await bought.shop.post(f"/v1/carts/{cart_id}/items", item, bought.tokens[name])
    assert 201 == added.status_code, added.text
    return cart_id


async def test_a_guest_who_logs_in_keeps_the_cart_and_nobody_takes_one_without_the_guests_token(bought):
    """vendure 263, 2283: the token of the guest shows that the cart is theirs; an id alone shows nothing."""
    shop, token = bought.shop, bought.tokens["ada"]
    mine, guests, bobs = [await cart_of(bought, name, pieces=2) for name in ("ada", "guest", "bob")]
    shown_by = {"guest_token": bought.tokens["guest"]}

    tokens = [{}, shown_by, *({"guest_token": each} for each in ("x", bought.tokens["bob"]))]
    for source, proof in [(guests, each) for each in tokens if each != shown_by] + [
        (bobs, each) for each in tokens
    ]:
        body = {"source_id": source, **proof}
        foreign = await shop.post(f"/v1/carts/{mine}/merges", body, token)
        absent = await shop.post(f"/v1/carts/{mine}/merges", {**body, "source_id": ABSENT}, token)
        assert (404, "cart-unknown") == (foreign.status_code, foreign.json()["code"])
        assert shown(foreign, source) == shown(absent, ABSENT)
    body = {"source_id": guests, **shown_by}
    merged = await shop.post(f"/v1/carts/{mine}/merges", body, token)
    assert 201 == merged.status_code, merged.text
    assert [4] == [line.quantity for line in shop.events(f"cart-{mine}")[-1].lines]
    assert bought.tokens["guest"] not in shop.everything()


async def test_the_cart_of_a_guest_is_assigned_to_who_shows_the_guests_token(bought):
    shop, token = bought.shop, bought.tokens["ada"]
    guests = await cart_of(bought, "guest")
    path = f"/v1/carts/{guests}/assignment"

    assert 404 == (await shop.post(path, {}, token)).status_code
    assert 404 == (await shop.post(path, {"guest_token": bought.tokens["bob"]}, token)).status_code
    shown_by = {"guest_token": bought.tokens["guest"]}
    refused = await shop.post(path, {"customer_id": "customer-bob", **shown_by}, token)
    assert 403 == refused.status_code
    taken = await shop.post(path, shown_by, token)
    assert 201 == taken.status_code, taken.text
    assert 404 == (await shop.post(path, {}, bought.tokens["guest"])).status_code
    assert 201 == (await shop.post(f"/v1/carts/{guests}/prices", {}, token)).status_code
