"""How soon does a stream of a million events take a command after a restart, and who waits meanwhile?

A new process that keeps no state decides on the stream, with its snapshot and without; another task of its event loop
looks all the time how much the loop computes at a stretch, which is what other requests wait for. That is its own time
on the processor: how long others on the machine keep it off is no property of ours.
"""

import asyncio
import secrets
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

import msgspec
import uvloop

from benchmarks.laboratory import Laboratory
from benchmarks.measuring import alternating
from benchmarks.table import Goal, Row
from commands.calls import Call
from commands.execution import Caller, Execution
from commands.log_access import opened
from counterfoil.testing.consumers import work_off
from domain.aggregate import Aggregate
from domain.ids import Sku
from domain.inventory import stock_item
from domain.inventory.stock_item import STOCK, StockItem
from event_store.log import codec
from projections import snapshots
from runtime import database

NAME: Final = "long-stream"
EVENTS: Final = 1_000_000
SKU: Final = Sku("85123A")
WITHOUT: Final = msgspec.structs.replace(STOCK, snapshot_every=None)
NOW: Final = datetime(2026, 1, 1, tzinfo=UTC)
CHECK_EVERY_S: Final = 0.001

_FILL: Final = """
insert into log.event (position, version, recorded_at, stream, type, leaf, metadata, payload)
select p, p, '2020-01-01', %(stream)s, %(type)s, sha256(p::text::bytea), '{}', %(payload)s
from generate_series(1, %(events)s::bigint) p
"""
_FILL_HEAD: Final = "update log.head set position = %(events)s"


def rows(laboratory: Laboratory) -> Iterator[Row]:
    """One row for the time to the answer, one for the longest stretch that others wait."""
    events = laboratory.size.count(EVENTS, tiny=3_000)
    with laboratory.database() as url:
        _fill(url, events)
        stretches: list[float] = []
        found = alternating(
            {
                "ours": lambda: uvloop.run(_answered(url, STOCK, stretches)),
                "limit": lambda: uvloop.run(_answered(url, WITHOUT, stretches)),
            },
            rounds=laboratory.size.rounds,
        )
    yield Row(
        name=NAME,
        case=f"a command on a stream of {events:,} events, first after a restart",
        unit="s",
        ours=found["ours"],
        limit=found["limit"],
        limit_name="folded from its first event",
        goals=(Goal("ours", at_most=1.0),),
    )
    yield Row(
        name=NAME,
        case="longest stretch of the event loop meanwhile, with its snapshot and without",
        unit="ms",
        ours=max(stretches) * 1_000,
        goals=(Goal("ours", at_most=20.0),),
    )


def _fill(url: str, events: int) -> None:
    [received] = stock_item.receive(None, sku=SKU, quantity=1, reference="", now=NOW)
    type_name, payload = codec.encode(received)
    given = {
        "stream": STOCK.stream(SKU),
        "type": type_name,
        "payload": payload.decode(),
        "events": events,
    }
    with database.connect(url, role=None, name="benchmark") as connection:
        connection.execute(_FILL, given)
        connection.execute(_FILL_HEAD, given)
        connection.execute("vacuum analyze log.event")
        connection.execute("checkpoint")
    work_off(url, snapshots.consumer([STOCK]))


async def _answered(url: str, aggregate: Aggregate[StockItem], stretches: list[float]) -> float:
    """Seconds from the command to its answer, in a process that has just connected."""
    async with opened(url, role="counterfoil_reader", name="benchmark", readers=2) as on:
        looking = asyncio.create_task(_measure(stretches))
        await asyncio.sleep(0.1)
        began = time.perf_counter()
        await _receive(on.execution, aggregate)
        took = time.perf_counter() - began
        looking.cancel()
    return took


async def _receive(execution: Execution, aggregate: Aggregate[StockItem]) -> None:
    call = Call(
        command="benchmark",
        key=secrets.token_bytes(16),
        fingerprint=secrets.token_bytes(32),
        correlation_id="",
        actor="benchmark",
    )
    [slot] = execution.reserve(1)
    caller = Caller(execution, call=call, slot=slot, now=NOW)
    await caller.execute(
        aggregate,
        SKU,
        lambda item, _: stock_item.receive(item, sku=SKU, quantity=1, reference="", now=NOW),
    )


async def _measure(stretches: list[float]) -> None:
    """How long the event loop computes between two short sleeps."""
    while True:
        before = time.thread_time()
        await asyncio.sleep(CHECK_EVERY_S)
        stretches.append(time.thread_time() - before)
