"""`make soak`: everything that has a full size, at that size, one part after another; hours.

Each part prints its seeds, with which it can be run again alone. The end says what was run and what came of it.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Final

from tests import sizes
from tests.sizes import CHAOS_MINUTES, EFFECTS_SEEDS

_PYTHON: Final = (sys.executable, "-m")
_PYTEST: Final = (*_PYTHON, "pytest", "-p", "no:cacheprovider", "-s")

PARTS: Final[Mapping[str, Sequence[str]]] = {
    "chaos": (*_PYTHON, "tests.chaos", "--minutes", str(CHAOS_MINUTES.full)),
    "promises": (*_PYTEST, "tests/chaos/test_gate.py"),
    "planted": (*_PYTHON, "tests.chaos", "--mutants"),
    "effects": (*_PYTHON, "tests.effects", "--seeds", str(EFFECTS_SEEDS.full)),
    "effects-planted": (*_PYTHON, "tests.effects", "--planted"),
    "simulation": (*_PYTEST, "tests/simulation"),
    "requests": (*_PYTEST, "tests/openapi/test_requests.py"),
    "commands": (*_PYTEST, "tests/commands"),
    "identity": (*_PYTEST, "tests/identity"),
    "tampering": (*_PYTEST, "tests/tampering"),
    "gateway": (
        *_PYTEST,
        "tests/gateway/test_losing.py",
        "tests/gateway/test_limits.py",
        "tests/gateway/test_hostile_callers.py",
    ),
    "demo": (*_PYTEST, "tests/acceptance/test_demo.py"),
    "imports": (*_PYTEST, "tests/acceptance/test_import.py"),
    "killed-import": (*_PYTEST, "tests/acceptance/test_faults.py"),
    "properties": (
        *_PYTEST,
        *(
            f"tests/{name}"
            for name in (
                "domain",
                "runtime",
                "event_store/log",
                "event_store/proofs/test_tiles.py",
                "projections",
                "read_api/test_border.py",
            )
        ),
    ),
}
"""What is run, by the name under which it can be run alone."""


def main() -> int:
    """0 when every part that was chosen passed."""
    parser = argparse.ArgumentParser(prog="make soak ARGS=...", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="only these parts")
    chosen = parser.parse_args().only
    ended = [_run(name) for name in PARTS if name in chosen]
    print("", *(line for lines, _ in ended for line in lines), sep="\n")
    return max(code for _, code in ended)


def _run(name: str) -> tuple[list[str], int]:
    """One part to its end, its output passed on; what to say of it at the end, seeds included."""
    print(f"== {name}: {' '.join(PARTS[name][1:])}", flush=True)
    begun, seeds = time.monotonic(), []
    environment = {**os.environ, sizes.VARIABLE: "full"}
    with subprocess.Popen(
        PARTS[name], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            if "seed" in line.lower():
                seeds.append(f"  {line.strip()}")
    verdict = "passed" if process.returncode == 0 else f"FAILED with code {process.returncode}"
    return [f"{name}: {verdict}, {time.monotonic() - begun:.0f} s", *seeds], abs(process.returncode)


if __name__ == "__main__":
    sys.exit(main())
