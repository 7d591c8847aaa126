"""What does an audit cost those who append meanwhile: the 99th percentile at 1,000 appends a second, with and without?

`counterfoil audit verify` runs in a process of its own, again and again until the appends are through, on a log of some
hundred thousand events and a view of its orders. `--seconds 40` makes ten minutes of it. With `--file`, what each
step of an audit of that file takes as well.
"""

import asyncio
import gc
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Final

import uvloop

from benchmarks import audited_import, growth, http_client, shop_events
from benchmarks.laboratory import Laboratory
from benchmarks.measuring import alternating, percentile
from benchmarks.table import Goal, Row
from devservers import child
from event_store.log.appending.writer import Writer
from event_store.log.envelope import Accepted

NAME: Final = "audit"
EVENTS: Final = 300_000
RATE: Final = 1_000
SECONDS_PER_ROUND: Final = 15
"""Times the length of a round of a rate: an audit has to be under way for most of it."""
AUDIT_S_MAX: Final = 3_600.0
GOALS: Final = (Goal("ratio_to_limit", at_most=1.5),)


def rows(laboratory: Laboratory) -> Iterator[Row]:
    """One row, and those of the file if one is given."""
    size = laboratory.size
    events = size.count(EVENTS, tiny=1_000)
    seconds = size.seconds * size.count(SECONDS_PER_ROUND, tiny=2)
    audits: list[int] = []
    with laboratory.database() as url:
        growth.filled(url, events)

        def with_audits() -> float:
            took, count = uvloop.run(_audited(laboratory, url, seconds=seconds))
            audits.append(count)
            return percentile(took, 0.99) * 1000

        found = alternating(
            {
                "limit": lambda: percentile(uvloop.run(_appended(url, seconds=seconds)), 0.99) * 1000,
                "ours": with_audits,
            },
            rounds=size.rounds,
        )
    yield Row(
        name=NAME,
        case=f"p99 of appends at {RATE:,}/s, {events:,} events audited",
        unit="ms",
        ours=found["ours"],
        limit=found["limit"],
        limit_name="the same without an audit",
        goals=GOALS,
        note=f"{audits[-1]} audits in {seconds:.0f} s",
    )
    if laboratory.import_file is not None:
        yield from audited_import.rows(laboratory, laboratory.import_file)


async def _audited(laboratory: Laboratory, url: str, *, seconds: float) -> tuple[Sequence[float], int]:
    """What appends took while audits ran, and how many audits ended."""
    auditing = asyncio.create_task(asyncio.to_thread(_audits, laboratory, url, seconds=seconds))
    took = await _appended(url, seconds=seconds)
    return took, await auditing


async def _appended(url: str, *, seconds: float) -> Sequence[float]:
    """Append at a fixed rate, whether or not earlier ones are answered; what each took, in order."""
    requests = [shop_events.single() for _ in range(int(RATE * seconds))]
    took: list[float] = []
    gc.freeze()  # otherwise the collector looks through all of them again and again, and longer the longer the round
    async with Writer.open(url, name="benchmark") as writer:

        async def append(number: int) -> None:
            started = time.perf_counter()
            verdict = await writer.append(requests[number])
            assert isinstance(verdict, Accepted), verdict
            took.append(time.perf_counter() - started)

        await http_client.open_loop(RATE, seconds=seconds, do=append)
    gc.unfreeze()
    return sorted(took)


def _audits(laboratory: Laboratory, url: str, *, seconds: float) -> int:
    """Audit one time after another for so long; each must find that everything is in order."""
    environment = {
        **os.environ,
        "COUNTERFOIL_DATABASE_URL": url,
        "COUNTERFOIL_HOME": str(laboratory.directory / "nowhere"),
    }
    end, count = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        with child.popen(
            [sys.executable, "-m", "counterfoil", "audit", "verify"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as audit:
            printed, _ = audit.communicate(timeout=AUDIT_S_MAX)
        # 3: all that there is is in order; the views of this log were never built.
        assert audit.returncode in (0, 3), printed
        count += 1
    return count
