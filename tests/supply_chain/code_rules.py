"""bandit: what the product's code must not do. Its rules are in pyproject.toml, with a reason for each left out."""

import subprocess
import sys
from collections.abc import Sequence
from typing import Final

from tests.architecture.source import LEFT_OUT, PACKAGES
from tests.supply_chain.examined import FOUND, IN_ORDER, NOT_EXAMINED, Examined
from tests.supply_chain.locks import ROOT

WHAT: Final = "code"
SCAN_S_MAX: Final = 300


def examine(paths: Sequence[str] = (*PACKAGES, *LEFT_OUT)) -> Examined:
    """Scan these folders or files; one line for each finding."""
    done = subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                "bandit",
                "--quiet",
                "--configfile",
                "pyproject.toml",
                "--format",
                "custom",
            ),
            *("--msg-template", "{relpath}:{line}: {test_id} {msg}", "--recursive", *paths),
        ],
        cwd=ROOT,
        capture_output=True,
        check=False,
        text=True,
        timeout=SCAN_S_MAX,
    )
    said = tuple(done.stdout.strip().splitlines())
    match done.returncode:
        case 0:
            return Examined(WHAT, IN_ORDER)
        case 1 if said:
            return Examined(WHAT, FOUND, said)
        case _:
            return Examined(WHAT, NOT_EXAMINED, tuple(done.stderr.strip().splitlines()[-3:]))
