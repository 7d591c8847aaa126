"""Several documents in one answer, as of one moment."""

from collections.abc import AsyncIterator, Sequence

import httpx
import msgspec
import pytest
from msgspec.structs import replace

from counterfoil.context import Context
from counterfoil.contexts import SHOP_CONTEXTS
from counterfoil.testing import queries
from domain.ids import CustomerId
from event_store.transport import position_token
from projections import builds
from projections.catalogue.views import ProductPage, product_page
from projections.inventory.views import StockLevel, stock_level
from projections.ordering.views import order_details
from projections.shipping.views import ShipmentDetails, shipment_details
from read_api.including import each_of
from read_api.routing import ById, Documented, Include, Queries
from runtime import database
from runtime.http.exchange import Exchange
from runtime.http.pipeline import permit
from runtime.http.principal import Principal
from tests.read_api.stage import ALL, PLACED_AT, Stage, order, partition_of_order, token
from tests.read_api.test_reveal import PATRON, PATRONS, ROW, Keys, Patron, patrons

pytestmark = pytest.mark.anyio

ORDER = "/v1/orders/536365"
STOCK = StockLevel(sku="85123A", on_hand=10, received=10, available=10)
PRODUCT = ProductPage("85123A", "Lantern", True, "2.55", "GBP", PLACED_AT, None)
SHIPMENT = ShipmentDetails("536365", "requested", 1, "United Kingdom", 6, PLACED_AT)
WHO = {
    name: Principal(
        "account", "17850" if name == "buyer" else name, frozenset(permissions.split()), frozenset((name,))
    )
    for name, permissions in {
        "buyer": "own-orders:read catalogue:read",
        "stranger": "own-orders:read catalogue:read",
        "auditor": "orders:read patrons:read",
        "owner": "orders:read patrons:read",
    }.items()
}


@pytest.fixture
def filled(stage: Stage) -> Stage:
    """An order with everything that belongs to it, and one order without."""
    stage.write(order_details, [order(), replace(order("2"), customer_id=None)], position=7)
    stage.write(stock_level, [STOCK], position=6)
    stage.write(product_page, [PRODUCT], position=5)
    stage.write(shipment_details, [SHIPMENT], position=8)
    stage.everybody_stands(9)
    return stage


@pytest.fixture
async def client(filled: Stage) -> AsyncIterator[httpx.AsyncClient]:
    """A query API; the header `who` names a caller of `WHO`, without it everything is allowed."""
    served = [
        *SHOP_CONTEXTS,
        PATRONS,
        replace(PATRONS, name="members", aggregates=(), views=(), queries=MEMBERS),
    ]
    with database.connect(filled.database_url, role="counterfoil_projector", name="test") as projector:
        builds.ensure_builds(projector, (patrons,))
    filled.write(patrons, [replace(ROW, patron_id=CustomerId("17850"))], position=7)
    filled.stand(patrons, 9)
    async with queries.opened(filled.database_url, *served) as api:
        pipeline = api.app.pipeline
        plain = pipeline._steps.authenticate

        async def authenticate(asked: Exchange) -> Principal:
            who = dict(asked.headers).get(b"who", b"").decode()
            return WHO[who] if who else await plain(asked)

        pipeline._steps = replace(pipeline._steps, authenticate=authenticate, authorise=permit)
        api.app.state.reads.opening = lambda fields: Keys().open(fields)
        yield api.client


MEMBERS = Queries(
    includes=(
        Include(
            name="patron",
            into="/orders/{order_id}",
            shown=ById(
                "/patrons/{patron_id}",
                "patrons:read",
                PATRON,
                Documented("get_patron", "Patron", Patron, {}, "p-1"),
            ),
            ids=lambda order: [order["customer_id"]] if order["customer_id"] else [],
        ),
    )
)


async def test_what_belongs_to_an_order_is_answered_with_it_as_on_its_own_path(client):
    answer = await client.get(f"{ORDER}?include=shipment,products,stock")
    alone = {
        path: (await client.get(path)).json()
        for path in (ORDER, "/v1/shipments/536365", "/v1/products/85123A", "/v1/stock/85123A")
    }

    assert 200 == answer.status_code, answer.text
    assert {
        **alone[ORDER],
        "included": {
            "shipment": alone["/v1/shipments/536365"],
            "products": {"85123A": alone["/v1/products/85123A"]},
            "stock": {"85123A": alone["/v1/stock/85123A"]},
        },
    } == answer.json()
    assert "no-store" == answer.headers["cache-control"]


async def test_what_there_is_not_is_null_or_left_out(client):
    answer = await client.get("/v1/orders/2?include=shipment,customer,patron,products")

    assert {
        "shipment": None,
        "customer": None,
        "patron": None,
        "products": {"85123A": PRODUCT},
    } == msgspec.convert(answer.json()["included"], dict[str, dict[str, ProductPage] | None])
    assert 404 == (await client.get("/v1/orders/3?include=shipment")).status_code


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        (
            "include=shipment,parcel",
            "'parcel' cannot be included here; there are: customer, patron, payments, products, shipment, stock",
        ),
        ("include=", "'' cannot be included here"),
        ("include=stock&as_of=3", "leave out as_of"),
        ("include=stock&include=shipment", "duplicate"),
    ],
)
async def test_what_cannot_be_included_is_refused_with_what_can(client, query, detail):
    answer = await client.get(f"{ORDER}?{query}")

    assert (400, "invalid-parameter") == (answer.status_code, answer.json()["code"])
    assert detail in answer.json()["detail"]


async def test_where_nothing_may_be_included_the_parameter_is_unknown(client):
    assert 400 == (await client.get("/v1/stock/85123A?include=order")).status_code


async def test_one_position_holds_for_all_of_the_answer(client, filled):
    filled.publish(12)
    filled.head(12)
    filled.stand(order_details, 12)
    filled.stand(stock_level, 11, partitions=[3])
    answer = await client.get(f"{ORDER}?include=stock")

    applied = position_token.decode(answer.headers["applied-position"]).partitions
    assert {**dict.fromkeys(ALL, 9), 3: 11} == applied
    stale = await client.get(f"{ORDER}?include=stock", headers={"Min-Position": token({0: 12})})
    assert (503, "stale-read") == (stale.status_code, stale.json()["code"])
    fresh = await client.get(f"{ORDER}?include=stock", headers={"Min-Position": token({3: 11})})
    assert 200 == fresh.status_code


async def test_a_parked_part_is_said_and_holds_the_position_back(client, filled):
    filled.park(shipment_details, "order-536365", position=4)

    answer = await client.get(f"{ORDER}?include=shipment")

    assert "4" == answer.headers["parked-position"]
    applied = position_token.decode(answer.headers["applied-position"]).partitions
    assert 3 == applied[partition_of_order("536365")]


async def test_all_of_it_is_of_one_snapshot(filled):
    """What is written between the first row that is read and the last is in neither, or in both."""

    def sold_meanwhile(document) -> Sequence[str]:
        filled.write(stock_level, [replace(STOCK, on_hand=4)], position=9)
        return each_of("lines", "sku")(document)

    (shown,) = [each for each in SHOP_CONTEXTS if each.name == "inventory"]
    overtaken = Include(
        name="overtaken",
        into="/orders/{order_id}",
        shown=shown.served_queries.by_id[0],
        ids=sold_meanwhile,
        many=True,
    )
    late = Context(name="late", queries=Queries(includes=(overtaken,)))
    async with queries.opened(filled.database_url, *SHOP_CONTEXTS, late) as api:
        first = await api.client.get(f"{ORDER}?include=overtaken")
        second = await api.client.get(f"{ORDER}?include=stock")

    assert 10 == first.json()["included"]["overtaken"]["85123A"]["on_hand"]
    assert 4 == second.json()["included"]["stock"]["85123A"]["on_hand"]


async def test_each_part_requires_what_its_own_path_requires(client):
    allowed = await client.get(f"{ORDER}?include=products", headers={"who": "buyer"})
    refused = await client.get(f"{ORDER}?include=products,stock", headers={"who": "buyer"})

    assert 200 == allowed.status_code, allowed.text
    assert (403, "forbidden") == (refused.status_code, refused.json()["code"])
    assert "inventory:read" in refused.json()["detail"]


async def test_an_order_of_somebody_else_is_none_with_whatever_is_included(client):
    foreign = await client.get(f"{ORDER}?include=products", headers={"who": "stranger"})
    absent = await client.get("/v1/orders/absent?include=products", headers={"who": "stranger"})

    assert 404 == foreign.status_code == absent.status_code
    assert foreign.json()["detail"].replace("536365", "absent") == absent.json()["detail"]


async def test_personal_data_of_a_part_is_shown_by_role(client):
    plain = await client.get(f"{ORDER}?include=patron", headers={"who": "owner"})
    hidden = await client.get(f"{ORDER}?include=patron", headers={"who": "auditor"})

    assert {"shown": "plain", "text": "jane@example.com"} == plain.json()["included"]["patron"]["email"]
    assert {"shown": "sealed", "text": None} == hidden.json()["included"]["patron"]["email"]
    assert b"ciphertext" not in hidden.content


def test_an_id_that_stands_in_several_lines_is_read_once():
    assert ["a", "b"] == each_of("lines", "sku")({"lines": [{"sku": "a"}, {"sku": "b"}, {"sku": "a"}]})
