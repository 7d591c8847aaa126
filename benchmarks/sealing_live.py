"""How long until an event is sealed while 5,000 a second are appended, and what do appends notice of it?

Three logs take turns of some seconds: one with a sealer, which is a process of its own as in production; one next to a
process that spends as much processor time as the sealer did and touches nothing; one alone. So what the sealer does to
the log is apart from what any other process would do to it, and a machine that gets slower slows all three.
"""

import asyncio
import contextlib
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import uvloop
from msgspec import Struct

from benchmarks import cores, shop_events
from benchmarks.laboratory import Laboratory
from benchmarks.measuring import percentile
from benchmarks.table import Goal, Row
from devservers import child
from event_store.log.appending.writer import Writer
from event_store.log.envelope import Accepted
from event_store.proofs import checkpoint, key_file, note
from event_store.proofs.note import SignerKey
from event_store.proofs.resuming import CHECKPOINT_FILE
from event_store.proofs.sealer import SEAL_EVENTS
from runtime.settings import PREFIX
from tests.acceptance.running import command, environment

NAME: Final = "seal"
EVENTS_PER_S: Final = 5_000
CALLERS: Final = 64
ROUND_S: Final = 2.0
CYCLES: Final = 25
READY_S_MAX: Final = 240.0
SEEN_EVERY_S: Final = 0.02
"""How often the published checkpoint is read: by so much a lag may be shown too long."""
LAG_GOALS: Final = (Goal("ours", at_most=2.0),)
APPEND_GOALS: Final = (Goal("ratio_to_limit", at_most=1.02),)

SPENDING: Final = """
import sys, time
spent_s, rest_s = float(sys.argv[1]), float(sys.argv[2])
while True:
    until_s = time.process_time() + spent_s
    while time.process_time() < until_s:
        pass
    time.sleep(rest_s)
"""
"""Spends processor time in stretches, with pauses, as the sealer does: it seals each thousand events."""


class Appended(Struct):
    """What one log saw in one round: when each event was recorded, in the order of the log, and how long that took."""

    at_s: Sequence[float]
    took_s: Sequence[float]


def rows(laboratory: Laboratory) -> Iterator[Row]:
    """Two rows."""
    cycles = laboratory.size.count(CYCLES, tiny=1)
    seconds = ROUND_S if not laboratory.size.tiny else 0.5
    with contextlib.ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sealed, next_to, alone = (stack.enter_context(laboratory.database()) for _ in range(3))
        seen = _Checkpoints(home / "seal" / CHECKPOINT_FILE)
        sealer = stack.enter_context(_sealer(home, sealed, seen))
        recorded_at_s: list[float] = []
        took: list[float] = []
        with_sealer, with_other, used = [], [], 0.0
        for _ in range(cycles):
            before = cores.spent({"sealer": sealer.pid})
            appended = uvloop.run(_appended(sealed, seconds=seconds))
            recorded_at_s += appended.at_s
            took += appended.took_s
            seen.wait_for(len(recorded_at_s))
            used = cores.spent({"sealer": sealer.pid}).since(before)["sealer"]
            with _spending(used):
                other = uvloop.run(_appended(next_to, seconds=seconds))
            usual = statistics.fmean(uvloop.run(_appended(alone, seconds=seconds)).took_s)
            with_sealer.append(statistics.fmean(appended.took_s) / usual)
            with_other.append(statistics.fmean(other.took_s) / usual)
        lags = sorted(seen.lags(recorded_at_s))
    yield Row(
        name=NAME,
        case=f"p99 until an event is sealed, at {EVENTS_PER_S:,} events/s",
        unit="s",
        ours=percentile(lags, 0.99),
        goals=LAG_GOALS,
        note=f"p50 {percentile(lags, 0.5):.2f} s, longest {lags[-1]:.2f} s",
    )
    yield Row(
        name=NAME,
        case=f"what an append takes next to a sealer, at {EVENTS_PER_S:,} events/s",
        unit="of that alone",
        ours=statistics.median(with_sealer),
        limit=statistics.median(with_other),
        limit_name="next to a process that spends as much and touches nothing",
        goals=APPEND_GOALS,
        note=f"{cycles} rounds each, {min(with_sealer):.2f} to {max(with_sealer):.2f} and {min(with_other):.2f} to "
        f"{max(with_other):.2f}; the sealer took {used:.2f} core, p50 {percentile(sorted(took), 0.5) * 1000:.1f} ms",
    )


async def _appended(url: str, *, seconds: float) -> Appended:
    recorded: list[tuple[int, float, float]] = []
    async with Writer.open(url, name="benchmark") as writer:
        began = time.monotonic()

        async def call(number: int) -> None:
            for due in range(number, int(seconds * EVENTS_PER_S), CALLERS):
                await asyncio.sleep(max(0.0, began + due / EVENTS_PER_S - time.monotonic()))
                started = time.monotonic()
                verdict = await writer.append(shop_events.single())
                assert isinstance(verdict, Accepted), verdict
                recorded.append((verdict.last, time.monotonic(), time.monotonic() - started))

        await asyncio.gather(*(call(number) for number in range(CALLERS)))
    recorded.sort()
    return Appended([at_s for _, at_s, _ in recorded], [took_s for _, _, took_s in recorded])


@contextlib.contextmanager
def _spending(cores_used: float) -> Iterator[None]:
    """A process that takes this share of a core."""
    every_s = SEAL_EVENTS / EVENTS_PER_S
    given = str(every_s * cores_used), str(every_s * (1 - min(1.0, cores_used)))
    with subprocess.Popen([sys.executable, "-c", SPENDING, *given]) as process:
        try:
            yield
        finally:
            process.kill()


@contextlib.contextmanager
def _sealer(home: Path, url: str, seen: "_Checkpoints") -> "Iterator[subprocess.Popen[bytes]]":
    """The process, from the first checkpoint on."""
    key = SignerKey("counterfoil.test/benchmark", bytes(range(32)))
    key_file.create(home / "seal.key", [key])
    settings = {f"{PREFIX}DATABASE_URL": url, f"{PREFIX}SEAL_KEY": str(home / "seal.key")}
    with child.popen(
        command("sealer"),
        env=environment(home, **settings),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            seen.wait_for(0)
            yield process
        finally:
            process.kill()


class _Checkpoints:
    """The sizes that were published, and when."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sizes: list[int] = []
        self._at_s: list[float] = []
        self._ended = threading.Event()
        threading.Thread(target=self._sample, daemon=True).start()

    def wait_for(self, size: int) -> None:
        """Wait until so much is sealed."""
        give_up = time.monotonic() + READY_S_MAX
        while not self._sizes or self._sizes[-1] < size:
            assert time.monotonic() < give_up, f"{size} events are not sealed"
            time.sleep(SEEN_EVERY_S)

    def lags(self, recorded_at_s: Sequence[float]) -> list[float]:
        """Seconds until each event was sealed, of events that were recorded at these times, in the log's order."""
        self._ended.set()
        return [
            self._at_s[bisect_left(self._sizes, position)] - at_s
            for position, at_s in enumerate(recorded_at_s, start=1)
        ]

    def _sample(self) -> None:
        while not self._ended.wait(SEEN_EVERY_S):
            try:
                size = checkpoint.parse(note.parse(self._path.read_bytes()).text).size
            except FileNotFoundError:
                continue
            if not self._sizes or size > self._sizes[-1]:
                self._at_s.append(time.monotonic())
                self._sizes.append(size)
