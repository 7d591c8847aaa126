"""How many appends a second does one writer make durable, one event a request, compared with pgbench and two peers?

Ours stores what the product stores: the event with its leaf, and the request's outcome under its key. The limit
inserts the same bytes into one table with two indexes. The peers are called by as many threads as we have callers,
since neither has a client for asyncio.
"""

import asyncio
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import uvloop

from benchmarks import library, pgbench, shop_events, umadb_peer
from benchmarks.laboratory import Laboratory
from benchmarks.measuring import alternating, percentile
from benchmarks.slow_disk import NoCompiler
from benchmarks.table import OWN_DISK, SLOW_DISK, Goal, Row
from event_store.log.appending.writer import Writer
from event_store.log.envelope import Accepted, AppendRequest

NAME: Final = "append"
PREPARED_PER_S: Final = 40_000
"""Requests made ready for each second: more than can be appended."""
WANTED_CALLERS: Final = 64

GOALS: Final = {
    library.NAME: (Goal("ratio_to_limit", at_least=1.4), Goal("ratio_to_peer", at_least=18)),
    umadb_peer.NAME: (Goal("ratio_to_limit", at_least=1.4), Goal("ratio_to_peer", at_least=1.4)),
}


def rows(laboratory: Laboratory) -> Iterator[Row]:
    """Rows for each number of callers, on this machine's disk and on a slow one."""
    for disk in (OWN_DISK, SLOW_DISK):
        try:
            laboratory.postgres(disk)
        except NoCompiler as reason:
            print(f"without the slow disk: {reason}", file=sys.stderr)
            return
        for callers in laboratory.size.callers():
            yield from _measured(laboratory, disk=disk, callers=callers)


def _measured(laboratory: Laboratory, *, disk: str, callers: int) -> Iterator[Row]:
    shape = shop_events.reservation(secrets.token_hex(8))
    latencies: list[Sequence[float]] = []
    contestants: dict[str, Callable[[], float]] = {
        "ours": lambda: _ours(laboratory, disk=disk, callers=callers, latencies=latencies),
        "limit": lambda: pgbench.rate(laboratory, disk=disk, shape=shape) or 0.0,
        library.NAME: lambda: _of_library(laboratory, disk=disk, callers=callers, payload=shape.payload),
    }
    with umadb_peer.server(laboratory, disk=disk) as url:
        if url is not None:
            address = url
            contestants[umadb_peer.NAME] = lambda: umadb_peer.append_rate(
                address, callers=callers, seconds=laboratory.size.seconds, shape=shape
            )
        found = alternating(contestants, rounds=laboratory.size.rounds)
    spread = [percentile(each, share) * 1000 for each in latencies[-1:] for share in (0.5, 0.99)]
    for peer in (library.NAME, umadb_peer.NAME):
        yield Row(
            name=NAME,
            case=f"{callers} callers",
            disk=disk,
            unit="appends/s",
            ours=found["ours"],
            limit=found["limit"] or None,
            limit_name=pgbench.NAME if found["limit"] else pgbench.ABSENT,
            peer=found.get(peer),
            peer_name=peer,
            goals=GOALS[peer] if callers == WANTED_CALLERS else (),
            note=f"p50 {spread[0]:.1f} ms, p99 {spread[1]:.1f} ms" if peer == library.NAME else "",
        )


def _ours(laboratory: Laboratory, *, disk: str, callers: int, latencies: list[Sequence[float]]) -> float:
    seconds = laboratory.size.seconds
    with laboratory.database(disk) as url:
        requests = [shop_events.single() for _ in range(int(seconds * PREPARED_PER_S))]
        rate, took = uvloop.run(appended(url, requests, callers=callers, seconds=seconds))
    latencies.append(took)
    return rate


async def appended(
    url: str, requests: Sequence[AppendRequest], *, callers: int, seconds: float
) -> tuple[float, Sequence[float]]:
    """Appends a second through one writer, and what each took, in order."""
    waiting = iter(requests)
    took: list[float] = []
    async with Writer.open(url, name="benchmark") as writer:
        began = time.perf_counter()
        end = began + seconds

        async def call() -> None:
            while (started := time.perf_counter()) < end and (request := next(waiting, None)) is not None:
                verdict = await writer.append(request)
                assert isinstance(verdict, Accepted), verdict
                took.append(time.perf_counter() - started)

        await asyncio.gather(*(call() for _ in range(callers)))
        passed = time.perf_counter() - began
    return len(took) / passed, sorted(took)


def _of_library(laboratory: Laboratory, *, disk: str, callers: int, payload: bytes) -> float:
    with laboratory.database(disk, migrated=False) as url:
        return library.append_rate(
            url, callers=callers, seconds=laboratory.size.seconds, type_name="shop:Reserved", state=payload
        )
