"""Classes of a Java server as Java keeps them in memory, so that a start neither reads nor verifies them again.

An archive (class data sharing) is made once for a Java and a list of jars, by the first server that runs on them, and
lies in the cache. Java itself refuses one that is damaged or was made by another build, and then starts as without it.
"""

import contextlib
import fcntl
import hashlib
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from devservers import child
from devservers.programs import Program

_DUMP_TIMEOUT_S: Final = 60.0


def place_of(java: Program, *, jars: Sequence[Path], folder: Path) -> Path:
    """Where the archive of this Java and these jars lies in `folder`; it need not be there."""
    of_jars = [(str(jar), jar.stat().st_size, jar.stat().st_mtime_ns) for jar in jars]
    name = hashlib.sha256(repr((java.version, java.origin, of_jars)).encode()).hexdigest()
    return folder / f"classes-{name[:16]}.jsa"


def arguments(archive: Path) -> list[str]:
    """The arguments of Java that use an archive; none while there is none."""
    if not _is_made(archive):
        return []
    return [f"-XX:SharedArchiveFile={archive}", "-XX:+VerifySharedSpaces"]


def make(archive: Path, *, java: Program, pid: int, directory: Path) -> None:
    """Make the archive from the classes of a running server, unless it is there or another process is making it.

    Without an archive servers only start more slowly, so nothing is raised. Where Java cannot make one (its module
    `jdk.jcmd` is missing) an empty file says so, and is not tried again.

    Args:
        archive: its place, from `place_of`.
        java: the program that the server runs.
        pid: process id of the server, which answers.
        directory: working directory of the server.
    """
    with contextlib.suppress(OSError), _alone(archive) as alone:
        if not alone or archive.exists():
            return
        with tempfile.TemporaryDirectory(prefix=".classes-", dir=archive.parent) as aside:
            attempt = Path(aside, archive.name)
            _dump(attempt, java=java, pid=pid)
            for output in directory.glob("java_pid*_std*"):  # of the Java that wrote it
                output.unlink()
            attempt.touch()
            attempt.rename(archive)


def _dump(attempt: Path, *, java: Program, pid: int) -> None:
    """Have the server list its classes and a second Java load and store them."""
    tool = ["-m", "jdk.jcmd/sun.tools.jcmd.JCmd", str(pid), "VM.cds", "static_dump", str(attempt)]
    with contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run(
            [str(java.path), *tool],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_DUMP_TIMEOUT_S,
            check=False,
            env=child.clean_environment(),
        )


@contextlib.contextmanager
def _alone(archive: Path) -> Iterator[bool]:
    """Whether no other process makes this archive while the block runs."""
    with archive.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def _is_made(archive: Path) -> bool:
    return archive.exists() and archive.stat().st_size > 0
