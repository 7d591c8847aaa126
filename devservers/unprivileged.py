"""Running Postgres while being root: it refuses root, so it runs as the user without rights.

That user can often neither reach our directory (below a root home) nor the program (below a virtual environment in a
root home). The data directory is handed over as the working directory and named `/proc/self/cwd`, which works without
any right on the directories above it; programs of a wheel are copied to a readable place.
"""

import os
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from devservers import programs
from devservers.child import as_user
from devservers.programs import Candidate, Program

NOBODY: Final = 65_534
_WORKING_DIRECTORY: Final = Path("/proc/self/cwd")
_READABLE_PLACES: Final = (tempfile.gettempdir(), "/var/tmp", "/tmp")  # nosec B108  # noqa: S108  owner and mode are checked


def user_for_postgres() -> int | None:
    """The user Postgres must run as: nobody when we are root, None (ourselves) otherwise."""
    return NOBODY if os.geteuid() == 0 else None


def data_argument(data: Path, *, user: int | None) -> str:
    """How a program that is started inside `data` names it."""
    return str(data if user is None or not _WORKING_DIRECTORY.exists() else _WORKING_DIRECTORY)


def reachable(directory: Path, *, user: int | None) -> bool:
    """Whether `user` may enter a directory by its path."""
    enter = subprocess.run(
        ["/bin/sh", "-c", 'cd -- "$1"', "sh", str(directory)],
        stderr=subprocess.DEVNULL,
        check=False,
        cwd="/",
        **as_user(user),
    )
    return enter.returncode == 0


def runnable(candidate: Candidate, *, user: int | None) -> Program:
    """The program as `user` can run it: where it is, or copied from its wheel to where that user can read it.

    Raises:
        OSError, ValueError, subprocess.SubprocessError: it cannot be run, not even as a copy.
    """
    try:
        return programs.inspected(candidate, version_flag="--version", user=user)
    except PermissionError:
        if user is None or not candidate.origin.startswith("wheel "):
            raise
    problem: Exception = PermissionError("no readable place for a copy")
    for place in dict.fromkeys(_READABLE_PLACES):
        try:
            copied = _copy(candidate, place=Path(place))
            return programs.inspected(copied, version_flag="--version", user=user)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            problem = error
    raise problem


def _copy(candidate: Candidate, *, place: Path) -> Candidate:
    """Copy `<package>/<install>` and the libraries next to the package, keeping their relative layout."""
    install = candidate.path.parent.parent
    package = install.parent
    target = place / f"counterfoil-{candidate.origin.removeprefix('wheel ').replace(' ', '-')}-{install.name}"
    if not target.exists():
        attempt = Path(tempfile.mkdtemp(prefix=f"{target.name}.", dir=place))
        try:
            for folder in (install, *package.parent.glob(f"{package.name}.libs")):
                shutil.copytree(folder, attempt / folder.relative_to(package.parent), symlinks=True)
            _open_to_readers(attempt)
            attempt.rename(target)
        except OSError:
            shutil.rmtree(attempt, ignore_errors=True)
            if not target.exists():  # otherwise another process of ours was quicker
                raise
    _must_be_ours(target)
    return Candidate(
        target / package.name / install.name / "bin" / candidate.path.name, f"{candidate.origin}, copied"
    )


def _open_to_readers(tree: Path) -> None:
    for folder, _, files in os.walk(tree):
        Path(folder).chmod(0o755)
        for file in files:
            path = Path(folder, file)
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644)


def _must_be_ours(target: Path) -> None:
    """Refuse a directory that somebody else may have put in a place where everybody may write."""
    status = target.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise PermissionError(f"{target} is not ours")
