"""Reading one thing by its id."""

import msgspec
import pytest

from projections.ordering.views import order_details
from tests.read_api.stage import order

pytestmark = pytest.mark.anyio


async def test_an_order_is_answered_from_sql_without_a_cache(stage, open_api):
    stage.write(order_details, [order()], position=7)
    stage.everybody_stands(9)

    async with open_api(redis_url=None) as client:
        answer = await client.get("/orders/536365")

    assert answer.status_code == 200, answer.text
    assert answer.content == msgspec.json.encode(order())
    assert answer.headers["etag"] == '"1.s1_b1.7"'
    assert answer.headers["content-type"] == "application/json"


async def test_cache_and_sql_give_the_same_bytes(stage, open_api):
    stage.write(order_details, [order()], position=7)
    stage.everybody_stands(9)
    stage.mirror(order_details, [order()], position=7, upto=9)

    async with open_api(redis_url=None) as sql_only, open_api() as cached:
        from_sql = await sql_only.get("/orders/536365")
        from_cache = await cached.get("/orders/536365")

    assert from_sql.content == from_cache.content
    assert from_sql.headers["etag"] == from_cache.headers["etag"]
