"""A command that is answered directly gets the same bytes as one that goes through ASGI, and is counted the same."""

import asyncio
import re

import httpx
import pytest

from tests.commands.serving import Process, serving

pytestmark = pytest.mark.anyio

ORDER = (
    b'{"order_id":"%b","country":"x","currency":"GBP",'
    b'"lines":[{"sku":"85123A","quantity":1,"unit_price":"2.55"}]}'
)
ANSWERED_WITHIN_S = 60
PRODUCT = b'{"sku":"85123A","title":"Holder","stocked":true}'
JSON = b"Content-Type: application/json\r\n"
CASES = {
    "accepted before": (b"/v1/orders", JSON + b"Idempotency-Key: first\r\n", ORDER % b"1"),
    "unreadable": (b"/v1/orders", JSON + b"Idempotency-Key: a\r\n", b"{"),
    "not valid": (b"/v1/orders", JSON + b"Idempotency-Key: a\r\n", b'{"country":"","lines":[]}'),
    "a member twice": (b"/v1/orders", JSON + b"Idempotency-Key: a\r\n", b'{"country":"x","country":"x"}'),
    "no body": (b"/v1/orders", b"Idempotency-Key: a\r\n", b""),
    "no key": (b"/v1/orders", JSON, ORDER % b"2"),
    "malformed key": (b"/v1/orders", JSON + b"Idempotency-Key: \xe4\r\n", ORDER % b"2"),
    "no JSON": (b"/v1/orders", b"Content-Type: text/plain\r\nIdempotency-Key: a\r\n", ORDER % b"2"),
    "malformed tag": (b"/v1/orders", JSON + b"Idempotency-Key: a\r\nIf-Match: 1\r\n", ORDER % b"2"),
    "wrong version": (b"/v1/orders", JSON + b'Idempotency-Key: a\r\nIf-Match: "1"\r\n', ORDER % b"2"),
    "key used for another": (b"/v1/orders", JSON + b"Idempotency-Key: first\r\n", ORDER % b"2"),
    "refused": (b"/v1/products", JSON + b"Idempotency-Key: a\r\n", PRODUCT),
}


async def answered(process: Process, path: bytes, headers: bytes, body: bytes) -> bytes:
    """What is answered to a POST, without its date."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(process.url.rpartition(":")[2]))
    writer.write(
        b"POST %b HTTP/1.1\r\nHost: x\r\nCorrelation-Id: same\r\nContent-Length: %d\r\n%b\r\n%b"
        % (path, len(body), headers, body)
    )
    async with asyncio.timeout(ANSWERED_WITHIN_S):
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        assert length is not None
        said = await reader.readexactly(int(length[1]))
    writer.close()
    return re.sub(rb"date: [^\r]+\r\n", b"", head) + said


async def test_answers_are_the_same_bytes_whichever_way_a_command_takes(database_url: str) -> None:
    async with serving(database_url) as process:
        await answered(process, b"/v1/products", JSON + b"Idempotency-Key: p\r\n", PRODUCT)
        accepted = await answered(process, *CASES["accepted before"])
        directly = {name: await answered(process, *case) for name, case in CASES.items()}
        # A query keeps a request from being answered directly, and means nothing to a command.
        through_asgi = {
            name: await answered(process, path + b"?x", headers, body)
            for name, (path, headers, body) in CASES.items()
        }
        async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
            counted = (await client.get(f"{process.url}/metrics")).text

    assert accepted.startswith(b"HTTP/1.1 201 Created\r\n")
    assert through_asgi == directly
    assert 'counterfoil_http_requests_total{method="POST",route="/v1/orders",status="415"} 2.0' in counted
    assert 'counterfoil_http_requests_total{method="POST",route="/v1/orders",status="201"} 3.0' in counted
