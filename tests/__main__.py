"""`make test`: the suite in two processes, one for tests that run whole shops, one for all others.

The first mostly wait for processes that start, die and settle; beside them the others cost little time. Arguments go to
a single pytest, as they are.
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

TESTS: Final = Path(__file__).resolve().parent
WHOLE_SHOPS: Final = ("acceptance", "benchmarks", "documentation", "fire", "simulation")
PYTEST: Final = (sys.executable, "-m", "pytest")


def main() -> int:
    """Run what is asked for; 0 when every test passed."""
    if sys.argv[1:]:
        return subprocess.call([*PYTEST, *sys.argv[1:]])
    shops = [str(TESTS / name) for name in WHOLE_SHOPS]
    others = [f"--ignore={folder}" for folder in shops]
    with tempfile.TemporaryFile() as told:
        beside = subprocess.Popen([*PYTEST, "-p", "no:cacheprovider", *shops], stdout=told, stderr=told)
        try:
            outcome = subprocess.call([*PYTEST, *others])
            waited = beside.wait()
        finally:
            if beside.poll() is None:
                beside.terminate()
                beside.wait()
        told.seek(0)
        sys.stdout.buffer.write(told.read())
        sys.stdout.flush()
    return outcome or waited


if __name__ == "__main__":
    sys.exit(main())
