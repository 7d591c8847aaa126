"""`make test`: first what burns, alone, because it measures; then the rest in two processes.

Tests mostly wait for processes and servers, so two at a time cost little more than one. Arguments go to one pytest.
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

TESTS: Final = Path(__file__).resolve().parent
ALONE: Final = ("fire",)
BESIDE: Final = ("acceptance", "benchmarks", "counterfoil", "documentation", "simulation")
PYTEST: Final = (sys.executable, "-m", "pytest")


def main() -> int:
    """Run what is asked for; 0 when every test passed."""
    if sys.argv[1:]:
        return subprocess.call([*PYTEST, *sys.argv[1:]])
    alone = subprocess.call([*PYTEST, *_folders(ALONE)])
    others = [f"--ignore={folder}" for folder in _folders((*ALONE, *BESIDE))]
    with tempfile.TemporaryFile() as told:
        beside = subprocess.Popen(
            [*PYTEST, "-p", "no:cacheprovider", *_folders(BESIDE)], stdout=told, stderr=told
        )
        try:
            rest = subprocess.call([*PYTEST, *others])
            beside.wait()
        finally:
            if beside.poll() is None:
                beside.terminate()
                beside.wait()
        told.seek(0)
        sys.stdout.buffer.write(told.read())
        sys.stdout.flush()
    return alone or rest or beside.returncode


def _folders(names: tuple[str, ...]) -> list[str]:
    return [str(TESTS / name) for name in names]


if __name__ == "__main__":
    sys.exit(main())
