"""Row A3 of the security checks: while many log in at once, others are answered as before, in bounded memory."""

import asyncio
import contextlib
import itertools

import httpx
import msgspec
import psutil
import pytest

from benchmarks import http_client
from counterfoil import accounts
from tests import sizes
from tests.commands.serving import serving
from tests.identity.conftest import accounts_on
from tests.identity.shop import EMAIL, PASSWORD, PRODUCT

pytestmark = pytest.mark.anyio

PROBED_S = sizes.LOGINS_PROBED_MS.chosen / 1000
"""For as long others are timed before anybody logs in."""

AS_LONG_MAX, SLACK_S = (2.0, 0.0) if sizes.FULL else (20.0, 0.5)
"""How much longer than before the slowest hundredth of the others may take."""

GROWTH_BYTES_MAX = 256 * 2**20
"""A hash takes 19 MiB; the rest is for what waits."""

SETTLED_S = 0.05


class Others:
    """One caller after another who creates a product, and what each waited."""

    def __init__(self, port, token):
        self._port = port
        self._known = f"Authorization: Bearer {token}"
        self._numbers = itertools.count()

    def _request(self):
        number = next(self._numbers)
        body = msgspec.json.encode(PRODUCT | {"sku": f"sku-{number}"})
        return http_client.post("/v1/products", body, f"Idempotency-Key: {number}", self._known)

    async def p99_s(self, *, until):
        """The time that the slowest hundredth takes, until an event is set."""
        connection, took_s = await http_client.Connection.open("127.0.0.1", self._port), []
        loop = asyncio.get_running_loop()
        while not until.is_set():
            began = loop.time()
            assert 201 == (await connection.ask(self._request())).status
            took_s.append(loop.time() - began)
        connection.close()
        return sorted(took_s)[len(took_s) * 99 // 100]


def memory_of(process):
    """Bytes that a process and the one that hashes for it have in memory."""
    of = process.memory_info().rss
    for child in process.children():
        with contextlib.suppress(psutil.NoSuchProcess):
            of += child.memory_info().rss
    return of


async def log_in_at_once(port, burst):
    """As many as the size says, each with an address of its own; how they were answered."""
    connections = [
        await http_client.Connection.open("127.0.0.1", port) for _ in range(sizes.LOGINS_AT_ONCE.chosen)
    ]
    await asyncio.sleep(SETTLED_S)
    bodies = [
        msgspec.json.encode({"email": f"{burst}-{number}@example.org", "password": PASSWORD})
        for number in range(len(connections))
    ]
    answers = await asyncio.gather(
        *(
            connection.ask(http_client.post("/v1/sessions", body))
            for connection, body in zip(connections, bodies, strict=True)
        )
    )
    for connection in connections:
        connection.close()
    return {answer.status for answer in answers}


async def test_a3_while_many_log_in_others_are_answered_and_memory_is_bounded(database_url, tmp_path, capsys):
    settings = accounts_on(database_url, home=tmp_path)
    await asyncio.to_thread(accounts.create_owner, settings, email=EMAIL, password=PASSWORD)
    given = {
        "COUNTERFOIL_HOME": str(settings.home),
        "COUNTERFOIL_IDENTITY": "accounts",
        "COUNTERFOIL_PASSWORD_MEMORY_MB": str(settings.password_memory_mb),
        "COUNTERFOIL_LOGIN_FAILURES_PER_ADDRESS": "0",
    }
    async with (
        serving(database_url, given=given) as api,
        httpx.AsyncClient(base_url=api.url, timeout=60) as client,
    ):
        credentials = {"email": EMAIL, "password": PASSWORD}
        token = (await client.post("/v1/sessions", json=credentials)).json()["access_token"]
        port, process, over = httpx.URL(api.url).port, psutil.Process(api.child.pid), asyncio.Event()
        others = Others(port, token)
        asyncio.get_running_loop().call_later(PROBED_S, over.set)
        before_s, memory = await others.p99_s(until=over), memory_of(process)

        over = asyncio.Event()
        probing = asyncio.create_task(others.p99_s(until=over))
        statuses, most = set(), memory
        for burst in range(sizes.LOGIN_BURSTS.chosen):
            statuses |= await log_in_at_once(port, burst)
            most = max(most, memory_of(process))
        over.set()
        meanwhile_s = await probing
    with capsys.disabled():
        print(
            f"\np99 of others {before_s * 1000:.1f} ms before, {meanwhile_s * 1000:.1f} ms while"
            f" {sizes.LOGINS_AT_ONCE.chosen} log in at once; {(most - memory) / 2**20:.0f} MiB more"
        )

    assert 401 in statuses
    assert statuses <= {401, 503}
    assert meanwhile_s < AS_LONG_MAX * before_s + SLACK_S
    assert most - memory < GROWTH_BYTES_MAX
