"""What does group commit give? Appends per second through one writer, against one call per append.

A Postgres of its own with the product's settings (everything is flushed). Both ways store the same events with the same
outcomes and leaves, one event per request on streams of their own. `json` and `jsonb` are compared on the same
rows afterwards. Ratios taken in one run hold; absolute figures belong to the machine that printed them.
"""

import asyncio
import secrets
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

from counterfoil import migrating
from devservers import chosen
from domain.ids import OrderId, Sku
from domain.inventory.events import StockReserved
from event_store.log import codec
from event_store.log.appending import wire
from event_store.log.appending.writer import Writer
from event_store.log.envelope import (
    NEW,
    AppendRequest,
    Expectation,
    Metadata,
    NewEvent,
    encode_metadata,
    new_nonce,
)
from runtime import database
from runtime.settings import Settings

SECONDS = 4.0
CALLERS = (1, 16, 64, 256)
ALONE_MAX = 64
"""More connections than this are not opened for appends one by one."""

SIZES = """
create temporary table as_json as select payload::json as payload, metadata::json as metadata from log.event;
create temporary table as_jsonb as select payload::jsonb as payload, metadata::jsonb as metadata from log.event;
"""
COMPARED = "select pg_table_size('as_json'), pg_table_size('as_jsonb'), (select count(*) from as_json)"


def request() -> AppendRequest:
    """One reservation on a stream of its own."""
    name = secrets.token_hex(8)
    event = StockReserved(
        sku=Sku(f"code-{name}"), order_id=OrderId(name), quantity=3, reserved_at=datetime.now(UTC)
    )
    metadata = Metadata(
        actor="anonymous", command="place_order", correlation_id=secrets.token_hex(16), nonce=new_nonce()
    )
    stream = f"stock-code-{name}"
    return AppendRequest(
        key=secrets.token_bytes(16),
        fingerprint=secrets.token_bytes(32),
        events=(NewEvent(stream, *codec.encode(event), encode_metadata(metadata)),),
        expectations=(Expectation(stream, NEW),),
    )


async def together(url: str, *, callers: int) -> tuple[float, list[float]]:
    """Appends per second of one writer that groups what its callers ask for, and each one's seconds."""
    async with Writer.open(url, name="benchmark") as writer:
        return await _measured(callers, lambda _: writer.append(request()))


async def alone(url: str, *, callers: int) -> tuple[float, list[float]]:
    """Appends per second when each caller has a connection and a call of its own."""
    connections = []
    for _ in range(callers):
        connection = await database.connect_async(url, role="counterfoil_writer", name="benchmark")
        wire.register(connection)
        connection.prepare_threshold = 0
        connections.append(connection)

    async def append(caller: int) -> None:
        async with connections[caller].cursor(binary=True) as cursor:
            await cursor.execute(wire.CALL, wire.arguments([request()], epoch=1))
            await cursor.fetchall()

    try:
        return await _measured(callers, append)
    finally:
        for connection in connections:
            await connection.close()


async def _measured(callers: int, append: Callable[[int], Awaitable[object]]) -> tuple[float, list[float]]:
    seconds: list[float] = []
    end = time.perf_counter() + SECONDS

    async def call(caller: int) -> None:
        while (started := time.perf_counter()) < end:
            await append(caller)
            seconds.append(time.perf_counter() - started)

    await asyncio.gather(*(call(caller) for caller in range(callers)))
    return len(seconds) / SECONDS, sorted(seconds)


def shown(found: tuple[float, list[float]] | None) -> str:
    """Rate, median and 99th percentile."""
    if found is None:
        return f"{'':>26}"
    rate, seconds = found
    half, most = seconds[len(seconds) // 2], seconds[int(len(seconds) * 0.99)]
    return f"{rate:>10,.0f}/s {half * 1000:>5.1f} {most * 1000:>6.1f} ms"


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        chosen.postgres_for(Settings(), directory=Path(folder) / "postgres") as server,
    ):
        print(server.report())
        migrating.migrate(server.url)
        print(f"{'callers':>8}{'one writer, p50 p99':>30}{'each alone, p50 p99':>30}")
        for callers in CALLERS:
            grouped = asyncio.run(together(server.url, callers=callers))
            single = asyncio.run(alone(server.url, callers=callers)) if callers <= ALONE_MAX else None
            print(f"{callers:>8}{shown(grouped):>30}{shown(single):>30}")
        with database.connect(server.url, role=None, name="benchmark") as connection:
            connection.execute(SIZES)
            as_json, as_jsonb, events = connection.execute(COMPARED).fetchone() or (0, 0, 1)
            print(
                f"payload and metadata, bytes per event: json {as_json / events:.0f}, jsonb {as_jsonb / events:.0f}"
            )


if __name__ == "__main__":
    main()
