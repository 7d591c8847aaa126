"""How many five-line orders a second does one query API answer by id, from the cache and from SQL?

`python -m benchmarks.read_by_id` starts servers of its own and one process of the query API for each source, asked over
64 connections for random orders out of 2,000. A constant answer from the same HTTP server is the limit that nothing
behind it can pass. Milliseconds of processor time per 1,000 answers hold on a busy machine too; rates do not.
"""

import asyncio
import contextlib
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import msgspec
import psutil
import uvloop

from counterfoil import migrating
from devservers import child
from devservers.postgres import start_postgres
from devservers.redis import start_redis
from projections.ordering.views import OrderDetails, order_details
from tests.read_api.stage import Stage, order

ORDERS = 2_000
LINES = 5
CONNECTIONS = 64
SECONDS = 5.0
START_TIMEOUT_S = 30.0
FIRST_ID = 100_000

CONSTANT = """
import sys, uvicorn
body = b"x" * int(sys.argv[2])
head = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(len(body)).encode())]}
async def app(scope, receive, send):
    await send(head)
    await send({"type": "http.response.body", "body": body})
chosen = {"loop": "uvloop", "http": "httptools", "lifespan": "off", "access_log": False, "log_level": "error"}
uvicorn.run(app, port=int(sys.argv[1]), **chosen)
"""


class Asker(asyncio.Protocol):
    """One connection that asks again as soon as it was answered."""

    def __init__(self, requests: list[bytes], answered: list[float]) -> None:
        self._requests = requests
        self._answered = answered
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own class is no subclass
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, rest = self._received.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        if len(rest) < length:
            return
        assert head.startswith(b"HTTP/1.1 200"), head
        self._received = b""
        self._answered.append(time.perf_counter() - self._asked_at)
        self._ask()

    def _ask(self) -> None:
        self._asked_at = time.perf_counter()
        self._transport.write(random.choice(self._requests))


async def asked(port: int) -> list[float]:
    """Seconds that each answer took."""
    paths = range(FIRST_ID, FIRST_ID + ORDERS)
    requests = [f"GET /v1/orders/{number} HTTP/1.1\r\nHost: benchmark\r\n\r\n".encode() for number in paths]
    answered: list[float] = []
    loop = asyncio.get_running_loop()
    made = [
        await loop.create_connection(lambda: Asker(requests, answered), "127.0.0.1", port)
        for _ in range(CONNECTIONS)
    ]
    await asyncio.sleep(1.0)
    answered.clear()
    await asyncio.sleep(SECONDS)
    for transport, _ in made:
        transport.abort()
    return sorted(answered)


@contextlib.contextmanager
def process(*arguments: str, port: int, environment: dict[str, str]) -> Iterator[psutil.Process]:
    """A server that listens on `port`."""
    running = subprocess.Popen([sys.executable, *arguments], env={**os.environ, **environment})
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.1)
        time.sleep(2.0)  # the first look at the views, and a second for the cache to be trusted
        yield psutil.Process(running.pid)
    finally:
        running.terminate()
        running.wait(timeout=20)


def measured(name: str, *arguments: str, port: int, environment: dict[str, str]) -> None:
    with process(*arguments, port=port, environment=environment) as server:
        before = server.cpu_times()
        times = uvloop.run(asked(port))
        after = server.cpu_times()
    cpu_s = after.user + after.system - before.user - before.system
    count = len(times) * (SECONDS + 1.0) / SECONDS  # those of the first second are not in the list
    print(
        f"{name:<10} {len(times) / SECONDS:>8,.0f}/s   p50 {times[len(times) // 2] * 1000:5.1f} ms"
        f"   p99 {times[len(times) * 99 // 100] * 1000:6.1f} ms   processor {cpu_s / count * 1e6:5.0f} ms per 1,000"
    )


def five_lines(number: int) -> OrderDetails:
    placed = order(str(number))
    lines = tuple(msgspec.structs.replace(placed.lines[0], line_id=line) for line in range(1, LINES + 1))
    return msgspec.structs.replace(placed, lines=lines)


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as home,
        start_postgres(Path(home) / "postgres") as postgres,
        start_redis(Path(home) / "redis") as redis,
    ):
        migrating.migrate(postgres.url)
        stage = Stage(postgres.url, redis.url)
        orders = [five_lines(FIRST_ID + number) for number in range(ORDERS)]
        stage.write(order_details, orders, position=7)
        stage.everybody_stands(9)
        stage.mirror(order_details, orders, position=7, upto=9)
        stage.conn.execute("analyze")
        stage.close()
        body = str(len(msgspec.json.encode(orders[0])))
        port = child.free_port()
        measured("constant", "-c", CONSTANT, str(port), body, port=port, environment={})
        for name, cache in (("cache", redis.url), ("SQL", "")):
            port = child.free_port()
            environment = {
                "COUNTERFOIL_HOME": str(Path(home) / "shop"),
                "COUNTERFOIL_DATABASE_URL": postgres.url,
                "COUNTERFOIL_REDIS_URL": cache,
                "COUNTERFOIL_QUERY_API_PORT": str(port),
                "COUNTERFOIL_LOG_LEVEL": "warning",
            }
            measured(name, "-m", "counterfoil", "query-api", port=port, environment=environment)


if __name__ == "__main__":
    main()
