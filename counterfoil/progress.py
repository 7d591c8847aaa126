"""Progress with rate and time left, on standard error: a bar on a terminal, plain lines anywhere else."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

PLAIN_LINE_EVERY_S = 5.0


class Step(Protocol):
    """One measured piece of work."""

    def advance(self, count: int = 1) -> None:
        """Count work done; may be called from several threads."""

    def move_to(self, done: int) -> None:
        """Say how much is done in all; for work that knows its own position."""


@contextmanager
def step(name: str, *, total: int | None, unit: str) -> Iterator[Step]:
    """Show one piece of work from its start to its end.

    Args:
        name: what is being done, as a user would say it.
        total: how many units there are, if that is known.
        unit: plural noun of what is counted.
    """
    if sys.stderr.isatty():
        with _bar(name, total=total, unit=unit) as shown:
            yield shown
        return
    plain = _PlainStep(name, total=total, unit=unit)
    yield plain
    plain.finish()


def say(text: str) -> None:
    """One plain line for a user; never mixed into what a script reads from standard output."""
    print(text, file=sys.stderr, flush=True)


class _PlainStep:
    """Prints a line every few seconds and one at the end."""

    def __init__(self, name: str, *, total: int | None, unit: str) -> None:
        self._name = name
        self._total = total
        self._unit = unit
        self._done = 0
        self._started = self._shown = time.monotonic()
        self._lock = threading.Lock()

    def advance(self, count: int = 1) -> None:
        with self._lock:
            self._moved(self._done + count)

    def move_to(self, done: int) -> None:
        with self._lock:
            self._moved(done)

    def _moved(self, done: int) -> None:
        self._done = done
        now = time.monotonic()
        if now - self._shown >= PLAIN_LINE_EVERY_S:
            self._shown = now
            say(progress_line(self._name, self._done, self._total, self._unit, elapsed_s=now - self._started))

    def finish(self) -> None:
        elapsed_s = time.monotonic() - self._started
        say(f"{self._name}: {self._done:,} {self._unit} in {elapsed_s:.1f} s")


def progress_line(name: str, done: int, total: int | None, unit: str, *, elapsed_s: float) -> str:
    """One plain line: done, share, rate and time left as far as they can be known."""
    rate = done / elapsed_s if elapsed_s > 0 else 0.0
    if not total:
        return f"{name}: {done:,} {unit}, {rate:,.0f}/s"
    left = f", {(total - done) / rate:.0f} s left" if rate > 0 else ""
    return f"{name}: {done:,} of {total:,} {unit} ({done / total:.0%}), {rate:,.0f}/s{left}"


@contextmanager
def _bar(name: str, *, total: int | None, unit: str) -> Iterator[Step]:
    # rich is imported only where a terminal needs it: it costs a worker 20 ms and 10 MB.
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f} {task.fields[unit]}")
        if total
        else TextColumn("{task.completed:,.0f} {task.fields[unit]}"),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task: TaskID = progress.add_task(name, total=total, unit=unit, rate="")
        yield _BarStep(progress, task)


class _BarStep:
    def __init__(self, progress: object, task: object) -> None:
        self._progress = progress
        self._task = task
        self._done = 0
        self._started = time.monotonic()
        self._lock = threading.Lock()

    def advance(self, count: int = 1) -> None:
        with self._lock:
            self._show(self._done + count)

    def move_to(self, done: int) -> None:
        with self._lock:
            self._show(done)

    def _show(self, done: int) -> None:
        self._done = done
        elapsed_s = max(time.monotonic() - self._started, 1e-6)
        rate = f"{done / elapsed_s:,.0f}/s"
        self._progress.update(self._task, completed=done, rate=rate)  # type: ignore[attr-defined]
