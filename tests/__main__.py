"""`make test`: every test, in runs of pytest some of them in parallel; what a run prints follows its end.

Most tests wait for processes and servers, so four at a time keep two processors busy. Arguments go to one pytest.
"""

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

TESTS: Final = Path(__file__).resolve().parent
PYTEST: Final = (sys.executable, "-m", "pytest")

LANES: Final = 4
"""Runs in parallel."""

RUNS: Final = (
    (),
    ("commands", "projections"),
    ("identity", "effects", "devservers"),
    ("benchmarks", "documentation"),
    ("acceptance",),
    (  # what needs a broker, so that no other run but those of whole shops starts one, and a how-to
        "event_store/eventsourcing/test_how_to.py",
        "event_store/transport/test_kafka_faults.py",
        "event_store/transport/test_kafka_publisher.py",
        "event_store/transport/test_transport_conformance.py",
        "projections/test_running.py",
    ),
    ("event_store",),
    ("chaos",),
    ("counterfoil",),
    ("simulation", "openapi", "commands/processes/test_deciding_simulation.py"),
)
"""Longest first, so that the last ones end at about the same time. The one without names is everything else; no file is
in two: what is named alone is left out where its folder is named."""


@dataclass(frozen=True)
class Ended:
    """A run of pytest that has ended; processor seconds are those of all its processes."""

    what: str
    code: int
    wall_s: float
    processor_s: float

    def __str__(self) -> str:
        verdict = "passed" if self.code == 0 else f"FAILED with code {self.code}"
        return f"{self.what}: {verdict}, {self.wall_s:.0f} s, {self.processor_s:.0f} s of processor time"


class Lanes:
    """Runs of pytest at work; each prints all it has to say once it has ended."""

    def __init__(self) -> None:
        self._started: list[subprocess.Popen[bytes]] = []
        self._printing = threading.Lock()

    def run(self, names: Sequence[str]) -> Ended:
        """One run to its end."""
        begun = time.monotonic()
        with tempfile.TemporaryFile() as output:
            command = [*PYTEST, "-p", "no:cacheprovider", *_arguments(names)]
            process = subprocess.Popen(command, stdout=output, stderr=output)
            self._started.append(process)
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            ended = Ended(
                names[0] if names else "everything else",
                process.returncode,
                time.monotonic() - begun,
                used.ru_utime + used.ru_stime,
            )
            with self._printing:
                _copy(output)
                print(ended, flush=True)
        return ended

    def stop(self) -> None:
        """End all of them before their time."""
        for process in self._started:
            if process.returncode is None:
                process.terminate()


def main() -> int:
    """Run what is asked for; 0 when every test passed."""
    # Hundreds of processes are started from these sources: without a cache each would compile them once more.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    if sys.argv[1:]:
        return subprocess.call([*PYTEST, *sys.argv[1:]])
    lanes = Lanes()
    with ThreadPoolExecutor(LANES) as pool:
        running = [pool.submit(lanes.run, names) for names in RUNS]
        try:
            ended = [run.result() for run in running]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            lanes.stop()
            raise
    print(*ended, sep="\n")
    return max((each.code for each in ended), key=abs)


def _arguments(names: Sequence[str]) -> list[str]:
    """What pytest runs; without names everything that no other run has."""
    others = [name for run in RUNS if run != names for name in run]
    if not names:
        return [f"--ignore={TESTS / name}" for name in others]
    inside = [name for name in others if name.startswith(tuple(f"{own}/" for own in names))]
    return [*(str(TESTS / name) for name in names), *(f"--ignore={TESTS / name}" for name in inside)]


def _copy(output: IO[bytes]) -> None:
    """Everything to standard output, which may take a part only where it is not buffered."""
    sys.stdout.flush()
    output.seek(0)
    left = memoryview(output.read())
    while left:
        left = left[os.write(sys.stdout.fileno(), left) :]


if __name__ == "__main__":
    sys.exit(main())
