"""How long does the import of ten months take in distributed mode, and how much memory does each process need?

`--file` names the online-retail file; without it one in the same format is generated. Memory is what each process of
the shop, and the importer, had resident at most; flat means that it did not grow in the second half.
"""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self

import psutil
from msgspec import Struct

from benchmarks.laboratory import Laboratory
from benchmarks.measuring import alternating
from benchmarks.table import Goal, Row
from counterfoil.cli.answering import EXIT_INCOMPLETE, EXIT_OK
from counterfoil.runfile import Running
from devservers import child, supervisor
from examples.online_retail import generating

NAME: Final = "import"
ORDERS: Final = 65_000
"""Generated orders have five or six lines: about as many lines as ten months of the data set."""
PRODUCTS: Final = 3_700
CUSTOMERS: Final = 3_600
SAMPLE_S: Final = 0.2
IMPORT_S_MAX: Final = 3_600
MEGABYTE: Final = 1024 * 1024
SERVERS: Final = frozenset({"postgres", "redis", "kafka"})


class Run(Struct, frozen=True):
    """One import: seconds, events, and per process the megabytes at most and at the middle and the end."""

    seconds: float
    events: int
    peak: dict[str, float]
    growth: dict[str, float]

    @property
    def largest(self) -> str:
        """The process that needed most."""
        return max(self.peak, key=lambda name: self.peak[name])


def rows(laboratory: Laboratory) -> Iterator[Row]:
    """Seconds, memory, growth."""
    file = laboratory.import_file or _generated(laboratory)
    what = "the file given" if laboratory.import_file else "a generated file"
    runs: list[Run] = []

    def seconds() -> float:
        with laboratory.shop(distributed=True) as running:
            runs.append(imported(laboratory, running, file))
        return runs[-1].seconds

    found = alternating(
        {
            "seconds": seconds,
            "peak": lambda: max(runs[-1].peak.values()),
            "growth": lambda: max(runs[-1].growth.values()),
        },
        rounds=laboratory.size.rounds,
    )
    last = runs[-1]
    peaks = ", ".join(f"{name} {megabytes:.0f}" for name, megabytes in sorted(last.peak.items()))
    yield Row(
        name=NAME,
        case=f"{what}, distributed, seconds",
        unit="s",
        ours=found["seconds"],
        goals=(Goal("ours", at_most=240),),
        note=f"{last.events:,} events",
    )
    yield Row(
        name=NAME,
        case=f"{what}, distributed, largest process",
        unit="MB",
        ours=found["peak"],
        goals=(Goal("ours", at_most=400),),
        note=f"MB: {peaks}",
    )
    yield Row(
        name=NAME,
        case=f"{what}, distributed, memory at the end over memory at half time",
        unit="times",
        ours=found["growth"],
        goals=(Goal("ours", at_most=1.25),),
        note="of the process that grew most; from 64 MB on",
    )


def _generated(laboratory: Laboratory) -> Path:
    file = laboratory.directory / "online-retail.csv"
    if not file.exists():
        size = laboratory.size
        generating.write_retail_file(
            file,
            products=size.count(PRODUCTS, tiny=20),
            customers=size.count(CUSTOMERS, tiny=20),
            orders=size.count(ORDERS, tiny=60),
        )
    return file


def imported(laboratory: Laboratory, running: Running, file: Path) -> Run:
    """Import a file into a shop that runs."""
    home = laboratory.directory / "importer"
    environment = supervisor.role_environment({"COUNTERFOIL_HOME": str(home)})
    command = [sys.executable, "-P", "-m", "counterfoil", "import", "online-retail", str(file), "--json"]
    command += ["--url", str(running.addresses.command_api), "--query-url", str(running.addresses.query_api)]
    with child.popen(command, env=environment, stdout=subprocess.PIPE, cwd=laboratory.directory) as process:
        roles = {name: pid for name, pid in running.processes.items() if name not in SERVERS}
        with _Sampling({**roles, "importer": process.pid}) as sampling:
            printed, _ = process.communicate(timeout=IMPORT_S_MAX)
    assert process.returncode in {EXIT_OK, EXIT_INCOMPLETE}, printed  # files have lines that become nothing
    outcome = json.loads(printed.splitlines()[-1])
    return Run(float(outcome["seconds"]), int(outcome["events"]), sampling.peak(), sampling.growth())


class _Sampling:
    """Looks at the resident memory of processes while a block runs."""

    def __init__(self, pids: dict[str, int]) -> None:
        self._processes = {name: psutil.Process(pid) for name, pid in pids.items()}
        self._seen: dict[str, list[float]] = {name: [] for name in pids}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="memory")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def peak(self) -> dict[str, float]:
        """Megabytes at most, by process."""
        return {name: max(seen, default=0.0) for name, seen in self._seen.items()}

    def growth(self) -> dict[str, float]:
        """What a process had at the end over what it had at half time, if it is worth looking at."""
        return {
            name: max(seen[-1], _WORTH_MB) / max(seen[len(seen) // 2], _WORTH_MB)
            for name, seen in self._seen.items()
            if seen
        }

    def _sample(self) -> None:
        while not self._stop.wait(SAMPLE_S):
            for name, process in self._processes.items():
                try:
                    self._seen[name].append(process.memory_info().rss / MEGABYTE)
                except psutil.NoSuchProcess:
                    continue


_WORTH_MB: Final = 64.0
