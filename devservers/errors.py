"""What can go wrong with servers that are started here; those that somebody else runs are unreachable, or there.

counterfoil.servers.errors.ServerError
 ├─ ServerNotFound      no address, no program: the text names the ways out
 ├─ ServerStartFailed   a program did not become ready: the text ends with the last lines of its log
 └─ JarMismatch         a jar of Kafka is not the pinned one
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from counterfoil.servers.errors import ServerError

LOG_TAIL_LINES: Final = 15


class ServerNotFound(ServerError):
    """Neither an address nor a program is there."""

    def __init__(self, name: str, *, tried: Sequence[str], ways_out: Sequence[str]) -> None:
        places = "".join(f"\n  tried: {place}" for place in tried)
        ways = "".join(f"\n  - {way}" for way in ways_out)
        super().__init__(f"{name} was not found.{places}\nWays out:{ways}")
        self.name = name


class ServerStartFailed(ServerError):
    """A server's program ended or stayed silent instead of becoming ready."""

    def __init__(self, name: str, *, reason: str, log: Path) -> None:
        tail = log_tail(log)
        super().__init__(f"{name} did not start: {reason}. The end of {log}:\n{tail}")
        self.name = name
        self.log = log


class JarMismatch(ServerError):
    """A file in the cache or from the repository is not the jar that was pinned."""

    def __init__(self, coordinate: str, *, path: Path, expected: str, found: str) -> None:
        super().__init__(f"{coordinate}: {path} has SHA-256 {found}, pinned is {expected}")
        self.coordinate = coordinate


def log_tail(log: Path, *, lines: int = LOG_TAIL_LINES) -> str:
    """The last lines of a log file; empty when there is none."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])
