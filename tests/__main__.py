"""`make test`: fault injection first, alone, because it measures; then everything else in three lanes.

Most tests wait for processes and servers, so three at a time keep two processors busy. Arguments go to one pytest.
"""

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

TESTS: Final = Path(__file__).resolve().parent
PYTEST: Final = (sys.executable, "-m", "pytest")

ALONE: Final = ("chaos",)
SHOPS: Final = (("acceptance",), ("counterfoil",))
"""Whole shops. Those that acceptance tests share are gone, and take no more time, when the next run begins."""
BROKER: Final = (
    (
        "benchmarks",
        "documentation",
        "openapi",
        "simulation",
        "commands/processes/test_over_kafka.py",
        "commands/processes/test_deciding_simulation.py",
        "event_store/eventsourcing/test_how_to.py",
        "event_store/transport/test_kafka_faults.py",
        "event_store/transport/test_kafka_publisher.py",
        "event_store/transport/test_transport_conformance.py",
        "projections/test_running.py",
    ),
)
"""What needs a broker, so that the lane of all others starts none, and some more, so that all take about as long."""


class Lane:
    """Runs of pytest, one after another, beside whatever else is done; what they print is kept until all have ended."""

    def __init__(self, runs: Sequence[Sequence[str]]) -> None:
        self.code = 0
        self._runs = runs
        self._stopped = False
        self._process: subprocess.Popen[bytes] | None = None
        self._told = tempfile.TemporaryFile()  # noqa: SIM115 - `wait` closes it
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        """End it before its time."""
        self._stopped = True
        if self._process is not None:
            self._process.terminate()

    def wait(self) -> int:
        """Wait for all of it, print what it told; 0 when every test passed."""
        self._thread.join()
        sys.stdout.flush()
        with self._told as told:
            told.seek(0)
            left = memoryview(told.read())
        while left:  # an output that is not buffered may take a part only
            left = left[os.write(sys.stdout.fileno(), left) :]
        return self.code

    def _run(self) -> None:
        for names in self._runs:
            if self._stopped:
                return
            command = [*PYTEST, "-p", "no:cacheprovider", *_paths(names)]
            self._process = subprocess.Popen(command, stdout=self._told, stderr=self._told)
            self.code = self._process.wait() or self.code


def main() -> int:
    """Run what is asked for; 0 when every test passed."""
    if sys.argv[1:]:
        return subprocess.call([*PYTEST, *sys.argv[1:]])
    alone = subprocess.call([*PYTEST, *_paths(ALONE)])
    elsewhere = [*ALONE, *(name for run in (*SHOPS, *BROKER) for name in run)]
    lanes = [Lane(SHOPS), Lane(BROKER)]
    try:
        rest = subprocess.call([*PYTEST, *(f"--ignore={path}" for path in _paths(elsewhere))])
    except BaseException:
        for lane in lanes:
            lane.stop()
        raise
    finally:
        codes = [lane.wait() for lane in lanes]
    return alone or rest or max(codes, key=abs)


def _paths(names: Sequence[str]) -> list[str]:
    return [str(TESTS / name) for name in names]


if __name__ == "__main__":
    sys.exit(main())
