"""The locks of requirements/: what is installed where, by exact version and hash."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

from packaging.requirements import Requirement

ROOT: Final = Path(__file__).resolve().parents[2]
REQUIREMENTS: Final = ROOT / "requirements"

LOCKS: Final = tuple(sorted(REQUIREMENTS.glob("*.txt")))
"""All of them: production, tests, benchmarks."""

PRODUCTION: Final = (REQUIREMENTS / "build.txt", REQUIREMENTS / "runtime.txt")
"""What deploy/Dockerfile installs."""

_PINNED: Final = re.compile(
    r"^(?P<requirement>[^\s#][^\\]*?)\s*\\$(?P<hashes>(?:\n\s+--hash=.*)+)", re.MULTILINE
)
_HASH: Final = re.compile(r"--hash=sha256:([0-9a-f]{64})")


class Package(NamedTuple):
    """A distribution at the version that a lock names."""

    name: str
    version: str


def locked(locks: Iterable[Path], *, here: bool = False) -> dict[Package, frozenset[str]]:
    """Packages of these locks with their hashes; `here`: only those that this machine would install."""
    found = {}
    for lock in locks:
        for entry in _PINNED.finditer(lock.read_text()):
            requirement = Requirement(entry["requirement"])
            if here and requirement.marker is not None and not requirement.marker.evaluate():
                continue
            (pin,) = requirement.specifier
            found[Package(requirement.name, pin.version)] = frozenset(_HASH.findall(entry["hashes"]))
    return found
