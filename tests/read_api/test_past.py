"""Any keyed resource as it was: a fold of its events up to a position or a time."""

from datetime import timedelta

import pytest

from counterfoil.contexts import CONTEXTS
from event_store.log import reading
from event_store.transport import position_token
from projections.catalogue.views import product_page
from projections.inventory.views import stock_level
from projections.mirroring import body_of
from projections.ordering.views import order_details
from projections.shipping.views import shipment_details
from tests.projections.feeding import append, feeding, fold_plainly, history, publish

pytestmark = pytest.mark.anyio

KEYED = (
    (product_page, "/v1/products/"),
    (stock_level, "/v1/stock/"),
    (order_details, "/v1/orders/"),
    (shipment_details, "/v1/shipments/"),
)


@pytest.fixture
def log(stage):
    """A small shop's history, carried into all views by a real worker."""
    append(stage.database_url, history(7, steps=60))
    publish(stage.database_url)
    with feeding(stage.database_url, CONTEXTS.views) as feeder:
        feeder.catch_up()
    return reading.read_after(stage.conn, 0)


async def test_what_a_view_was_is_the_fold_of_its_events_until_then(log, open_api):
    async with open_api() as client:
        for view, address in KEYED:
            for upto in (0, 1, len(log) // 2, len(log)):
                rows = fold_plainly(view, log[:upto])
                for key in list(fold_plainly(view, log))[:5]:
                    answer = await client.get(f"{address}{key[0]}?as_of={upto}")

                    if key in rows:
                        assert answer.content == body_of(rows[key].row), (view, key, upto)
                        assert set(
                            position_token.decode(answer.headers["applied-position"]).partitions.values()
                        ) == {upto}
                    else:
                        assert answer.status_code == 404, (view, key, upto)


async def test_as_of_the_head_is_what_the_view_shows_now(log, open_api):
    async with open_api() as client:
        for view, address in KEYED:
            for key in fold_plainly(view, log):
                now = await client.get(f"{address}{key[0]}")
                then = await client.get(f"{address}{key[0]}?as_of={len(log)}")

                assert now.content == then.content


async def test_a_time_means_everything_recorded_until_then(stage, log, open_api):
    created = next(each for each in log if each.stream.startswith("product-"))
    sku = created.stream.removeprefix("product-")
    before = created.recorded_at - timedelta(seconds=1)

    async with open_api() as client:
        then = await client.get(f"/v1/products/{sku}", params={"as_of": created.recorded_at.isoformat()})
        earlier = await client.get(
            f"/v1/products/{sku}", params={"as_of": before.isoformat().replace("+00:00", "Z")}
        )

    assert then.status_code == 200, then.text
    assert earlier.status_code == 404
    assert earlier.json()["facts"]["as_of"] == 0


@pytest.mark.parametrize(
    "as_of",
    [
        "yesterday",
        "2026-01-31T08:26:00",
        "2026-01-31",
        "20260131T082600Z",
        "2026-01-31T08:26:00.1234567Z",
        "-1",
        "1.5",
        "",
        "2026-01-31T08:26:00 01:00",
        "9" * 20,
        "\uff11",
    ],
)
async def test_what_is_neither_position_nor_time_is_refused(api, as_of):
    answer = await api.get("/v1/orders/1", params={"as_of": as_of})

    assert answer.status_code == 400
    assert answer.json()["code"] == "invalid-parameter"
    assert answer.json()["errors"][0]["parameter"] == "as_of"


async def test_a_time_that_has_not_come_is_refused(api):
    answer = await api.get("/v1/orders/1", params={"as_of": "2199-01-01T00:00:00Z"})

    assert answer.status_code == 400
    assert answer.json()["code"] == "invalid-parameter"
    assert "has not come yet" in answer.json()["detail"]


async def test_a_plus_sign_that_became_a_space_is_explained(api):
    answer = await api.get("/v1/orders/1?as_of=2026-01-31T08:26:00+01:00")

    assert "%2B" in answer.json()["detail"]


async def test_the_future_is_refused(log, open_api):
    async with open_api() as client:
        answer = await client.get(f"/v1/orders/1?as_of={len(log) + 1}")

    assert answer.status_code == 400
    assert answer.json()["code"] == "position-beyond-head"
    assert ["as_of"] == [fault["parameter"] for fault in answer.json()["errors"]]


async def test_sums_have_no_past(api):
    answer = await api.get("/v1/skus/85123A/sales?as_of=1")

    assert answer.status_code == 400
