"""The bill of materials (SBOM) of what production installs, in CycloneDX, written from the lock."""

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Final

from tests.supply_chain.examined import IN_ORDER, NOT_EXAMINED, Examined
from tests.supply_chain.locks import PRODUCTION, ROOT

WHAT: Final = "bill of materials"
SPECIFICATION: Final = "1.6"
WRITE_S_MAX: Final = 300


def write(folder: Path, *, validate: bool = True) -> Examined:
    """Write `counterfoil-<version>.cdx.json`: the same bytes for the same lock, with the hashes that pip requires.

    `validate`: hold the file against CycloneDX's schema first, which takes seconds.
    """
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    path = folder / f"counterfoil-{version}.cdx.json"
    folder.mkdir(parents=True, exist_ok=True)
    # Warnings: a lock has no graph of dependencies, and says so.
    command = [
        *(sys.executable, "-W", "ignore", "-m", "cyclonedx_py", "requirements", "-"),
        *("--pyproject", str(ROOT / "pyproject.toml"), "--output-reproducible", "--short-PURLs"),
        *("--spec-version", SPECIFICATION, "--validate" if validate else "--no-validate"),
        *("--output-file", str(path)),
    ]
    lock = "".join(each.read_text() for each in PRODUCTION)
    done = subprocess.run(
        command, input=lock, capture_output=True, check=False, text=True, timeout=WRITE_S_MAX
    )
    if done.returncode:
        return Examined(WHAT, NOT_EXAMINED, tuple(done.stderr.strip().splitlines()[-3:]))
    return Examined(WHAT, IN_ORDER, (str(path),))
