"""How long until an event is sealed while 5,000 a second are appended, and what do appends notice of it?

The sealer is a process of its own, as it runs in production. Rounds with and without it follow one another, each on a
log of its own, and each pair gives one ratio: so a machine that gets slower meanwhile slows both.
"""

import asyncio
import contextlib
import statistics
import subprocess
import tempfile
import threading
import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import uvloop
from msgspec import Struct

from benchmarks import shop_events
from benchmarks.laboratory import Laboratory
from benchmarks.measuring import percentile
from benchmarks.table import Goal, Row
from event_store.log.appending.writer import Writer
from event_store.log.envelope import Accepted
from event_store.proofs import checkpoint, key_file, note
from event_store.proofs.note import SignerKey
from event_store.proofs.resuming import CHECKPOINT_FILE
from runtime.settings import PREFIX
from tests.acceptance.running import command, environment

NAME: Final = "seal"
EVENTS_PER_S: Final = 5_000
CALLERS: Final = 64
SECONDS: Final = 8.0
PAIRS: Final = 7
READY_S_MAX: Final = 30.0
SEEN_EVERY_S: Final = 0.02
"""How often the published checkpoint is read: by so much a lag may be shown too long."""
LAG_GOALS: Final = (Goal("ours", at_most=2.0),)
APPEND_GOALS: Final = (Goal("ours", at_most=1.02),)


class Round(Struct):
    """What one round saw: seconds that each append took, in order, and until each event was sealed."""

    took_s: Sequence[float]
    lags_s: Sequence[float]


def rows(laboratory: Laboratory) -> Iterator[Row]:
    """Two rows."""
    pairs = laboratory.size.count(PAIRS, tiny=1)
    seconds = SECONDS if not laboratory.size.tiny else 1.5
    sealed, ratios = [], []
    for number in range(pairs):
        order = (True, False) if number % 2 else (False, True)
        found = {sealing: _round(laboratory, seconds=seconds, sealing=sealing) for sealing in order}
        ratios.append(statistics.fmean(found[True].took_s) / statistics.fmean(found[False].took_s))
        sealed.append(found[True])
    lags = sorted(lag for each in sealed for lag in each.lags_s)
    took = sorted(took for each in sealed for took in each.took_s)
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
        unit="of that without",
        ours=statistics.median(ratios),
        goals=APPEND_GOALS,
        note=f"{pairs} pairs, {min(ratios):.3f} to {max(ratios):.3f}; p50 {percentile(took, 0.5) * 1000:.1f} ms",
    )


def _round(laboratory: Laboratory, *, seconds: float, sealing: bool) -> Round:
    with tempfile.TemporaryDirectory() as folder, laboratory.database() as url:
        seen = _Checkpoints(Path(folder) / "seal" / CHECKPOINT_FILE)
        with _sealer(Path(folder), url, seen) if sealing else contextlib.nullcontext():
            appended = uvloop.run(_appended(url, seconds=seconds))
            if sealing:
                seen.wait_for(len(appended))
        times = [at_s for at_s, _ in appended]
        return Round(
            took_s=sorted(took for _, took in appended),
            lags_s=seen.lags(times) if sealing else (),
        )


async def _appended(url: str, *, seconds: float) -> list[tuple[float, float]]:
    """When each event was recorded, in the order of the log, and how long its append took."""
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
    return [(at_s, took) for _, at_s, took in sorted(recorded)]


@contextlib.contextmanager
def _sealer(home: Path, url: str, seen: "_Checkpoints") -> Iterator[None]:
    """The process, from the first checkpoint on."""
    key = SignerKey("counterfoil.test/benchmark", bytes(range(32)))
    key_file.create(home / "seal.key", [key])
    settings = {f"{PREFIX}DATABASE_URL": url, f"{PREFIX}SEAL_KEY": str(home / "seal.key")}
    with subprocess.Popen(
        command("sealer"),
        env=environment(home, **settings),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            seen.wait_for(0)
            yield
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
