"""A walk through both APIs as a customer's developer takes it: by the generated client's types alone."""

import contextlib
import importlib
import itertools
import json
from functools import partial
from types import SimpleNamespace

import pytest

from counterfoil.contexts import CONTEXTS
from tests.commands.serving import serving
from tests.openapi import generating
from tests.projections.feeding import feeding, publish, settle

pytestmark = pytest.mark.anyio

PAGE = 2


@pytest.fixture
def client_of(tmp_path, monkeypatch):
    """Generates the client of an API and opens it: `models`, and one function per operation id."""
    monkeypatch.syspath_prepend(str(tmp_path))

    @contextlib.asynccontextmanager
    async def opened(document, url, *, name):
        package = generating.client(document, tmp_path, name=name)
        found = SimpleNamespace(models=importlib.import_module(f"{name}.models"))
        async with package.Client(base_url=url) as connection:
            for item in document["paths"].values():
                for operation in item.values():
                    tag, function = operation["tags"][0], operation["operationId"]
                    module = importlib.import_module(f"{name}.api.{tag}.{function}")
                    setattr(found, function, partial(module.asyncio_detailed, client=connection))
            yield found

    return opened


async def test_a_shop_is_run_by_generated_clients_alone(database_url, documents, client_of):
    settle(database_url)
    async with (
        serving(database_url) as commands,
        serving(database_url, role="query-api") as queries,
        client_of(documents["commands"], commands.url, name="counterfoil_commands") as shop,
        client_of(documents["queries"], queries.url, name="counterfoil_queries") as view,
    ):
        with feeding(database_url, CONTEXTS.views) as feeder:

            def carry() -> None:
                publish(database_url)
                feeder.catch_up()

            await _sell(shop, view, carry)


async def _sell(shop, view, carry):
    models, keys = shop.models, (f"walk-{number}" for number in itertools.count())

    made = await shop.create_product(
        body=models.CreateProduct(
            sku="85123A", title="Holder", stocked=True, unit_price="2.55", currency="GBP"
        ),
        idempotency_key=next(keys),
    )
    assert (201, "85123A") == (made.status_code, made.parsed.id)

    placed = await _place(shop, "1", key="first")
    carry()
    order = await view.get_order("1", min_position=placed.headers["position"], prefer="wait=5")
    assert (view.models.OrderDetails, "placed", 255) == (
        type(order.parsed),
        order.parsed.status.value,
        order.parsed.total,
    )
    unchanged = await view.get_order("1", if_none_match=order.headers["etag"])
    assert (304, b"", None) == (unchanged.status_code, unchanged.content, unchanged.parsed)
    assert 200 == (await view.head_order("1")).status_code

    again = await _place(shop, "1", key="first")
    assert (placed.content, "true") == (again.content, again.headers["idempotent-replayed"])

    refused = await _place(shop, "1", key="second")
    assert (409, models.Problem, "order-id-taken") == (
        refused.status_code,
        type(refused.parsed),
        refused.parsed.code,
    )
    pointed = await shop.place_order(body=_order(models, "2", sku="none"), idempotency_key=next(keys))
    assert ["/lines/0/sku"] == [fault.pointer for fault in pointed.parsed.errors]

    batch = models.Batch(
        commands=[
            models.BatchedPlaceOrder(key=next(keys), command="place_order", body=_order(models, "2")),
            models.BatchedPlaceOrder(key=next(keys), command="place_order", body=_order(models, "3")),
            models.BatchedShipOrder(key=next(keys), command="ship_order", target="1"),
        ]
    )
    sent = await shop.send_commands(body=batch)
    assert [models.BatchedAccepted, models.BatchedAccepted, models.BatchedProblem] == [
        type(each) for each in sent.parsed.results
    ]
    assert "not-confirmed" == sent.parsed.results[-1].code

    carry()
    assert ["3", "2", "1"] == await _listed(view, token=sent.headers["position"])
    stream = await view.list_stream_events("order-1")
    assert ["ordering.order_placed.v3"] == [event.type_ for event in stream.parsed.events]
    lines = (await view.list_events(after=0)).parsed.splitlines()
    assert [1, 2, 3, 4] == [view.models.Event.from_dict(json.loads(line)).position for line in lines]


def _order(models, order_id, *, sku="85123A"):
    return models.PlaceOrder(
        order_id=order_id,
        customer_id="17850",
        country="United Kingdom",
        currency="GBP",
        lines=[models.Line(sku=sku, quantity=1)],
    )


async def _place(shop, order_id, *, key):
    return await shop.place_order(body=_order(shop.models, order_id), idempotency_key=key)


async def _listed(view, *, token):
    """Ids of the customer's orders, page by page."""
    seen, following = [], {}
    while True:
        page = await view.list_orders(
            customer="17850", limit=PAGE, min_position=token, prefer="wait=5", **following
        )
        assert 200 == page.status_code, page.content
        seen += [order.order_id for order in page.parsed.items]
        assert len(page.parsed.items) <= PAGE
        if page.parsed.next_cursor is None:
            return seen
        following = {"cursor": page.parsed.next_cursor}
