"""Rows I1 to I3 of the security checks: numbers, bodies, keys and texts that are meant to break something."""

import json
import time

import psutil
import pytest

from counterfoil.testing.http import new_key
from tests import sizes
from tests.identity.shop import PRODUCT, bearer

pytestmark = pytest.mark.anyio

ANSWERED_S_MAX = 0.05 if sizes.FULL else 10.0
GROWTH_BYTES_MAX = 100 * 2**20
BODY_BYTES = 20 * 2**20

QUANTITIES = ["NaN", "Infinity", "1e308", "-1", "0.001", '"\u0661"', '"1"', "1" * 5_000, "true", "[1]"]
BODIES = {
    "deep": b'{"quantity": ' + b"[" * 500_000,
    "deep objects": b'{"a":' * 200_000,
    "twice": b'{"quantity": 1, "quantity": 2}',
    "unknown": b'{"quantity": 1, "status": "shipped"}',
    "large": b'{"quantity": 1, "reference": "' + b"x" * BODY_BYTES + b'"}',
    "no text": b'{"quantity": 1, "reference": "\xff\xfe"}',
    "half a character": b'{"quantity": 1, "reference": "\\ud800"}',
    **{each[:20]: f'{{"quantity": {each}}}'.encode() for each in QUANTITIES},
}

FORGED = 'forged":1}\r\n{"event":"forged"}\x1b[31m\x1b[2K'
FRAGMENTS = [
    "'; drop table log.event; --",
    "' or '1'='1",
    "redis.call('flushall')",
    "]]; return redis.call('keys','*')",
    "{{7*7}}${7*7}%s%n",
]


async def test_i1_bodies_that_are_meant_to_cost_are_refused_quickly_and_keep_no_memory(shop):
    token = (await shop.session())["access_token"]
    assert 201 == (await shop.post("/v1/products", PRODUCT, token)).status_code
    headers = {"content-type": "application/json", **bearer(token)}
    before, wrong, events = psutil.Process().memory_info().rss, [], shop.types().total()
    for name, body in BODIES.items():
        began = time.perf_counter()
        answer = await shop.commands.post(
            "/v1/stock/1/receipts", content=body, headers={**headers, "idempotency-key": new_key()}
        )
        took_s = time.perf_counter() - began
        refusals = {413} if name == "large" else {400, 422}
        if answer.status_code not in refusals or took_s > ANSWERED_S_MAX:
            wrong.append((name, answer.status_code, took_s))

    assert [] == wrong
    assert events == shop.types().total()
    assert psutil.Process().memory_info().rss - before < GROWTH_BYTES_MAX


async def test_i2_a_key_is_its_callers_and_stands_for_one_body(shop):
    owner, merchandiser = (await shop.session())["access_token"], await shop.token_as("merchandiser")
    key = {"idempotency-key": new_key()}

    first = await shop.post("/v1/products", PRODUCT, owner, headers=key)
    of_another = await shop.post("/v1/products", PRODUCT | {"sku": "2"}, merchandiser, headers=key)
    other_body = await shop.post("/v1/products", PRODUCT | {"sku": "3"}, owner, headers=key)
    again = await shop.post("/v1/products", PRODUCT, owner, headers=key)

    assert (201, 201) == (first.status_code, of_another.status_code)
    assert (422, "idempotency-key-reused") == (other_body.status_code, other_body.json()["code"])
    assert (first.content, "true") == (again.content, again.headers["idempotent-replayed"])


async def test_i3_no_text_forges_a_line_of_the_log_or_is_run(shop, capfd):
    token = (await shop.session())["access_token"]
    for number, text in enumerate([FORGED, *FRAGMENTS]):
        await shop.post("/v1/products", PRODUCT | {"sku": f"a{number}", "title": text}, token)
        await shop.post("/v1/products", PRODUCT | {"sku": text}, token)
        await shop.post("/v1/sessions", {"email": text, "password": text})
        await shop.commands.post("/oauth/token", data={"grant_type": text, "client_id": text})
        await shop.queries.get("/v1/orders", params={"customer": text, text: text}, headers=bearer(token))
        await shop.queries.get("/v1/orders/%" + text.encode().hex("%", 1), headers=bearer(token))
    written = "".join(capfd.readouterr())

    assert "request_answered" in written
    assert "forged" not in written
    assert "\x1b[31m" not in written
    titles = {
        each.title for number in range(1, 1 + len(FRAGMENTS)) for each in shop.events(f"product-a{number}")
    }
    assert set(FRAGMENTS) == titles
    assert [] == shop.events("product-a0")
    assert json.dumps("forged") not in shop.everything()
