"""A server of ours: one process, whose data and log live in one directory."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Self

from counterfoil.servers.server_version import ServerVersion
from devservers.child import Child


class Server(ABC):
    """Its process may be stopped, or killed as by a crash, and started again on the same data."""

    def __init__(self, directory: Path, *, kind: str, stop_timeout_s: float) -> None:
        """`kind` is its log's name; after `stop_timeout_s` an orderly end is not waited for any more."""
        self.directory = directory
        self.log = directory / f"{kind}.log"
        """File with the server's output."""
        self._stop_timeout_s = stop_timeout_s
        self._child: Child | None = None

    @abstractmethod
    def start(self) -> None:
        """Start it and wait until it answers; nothing to do when it runs.

        Raises:
            ServerStartFailed: it does not; the text ends with its log.
        """

    @abstractmethod
    def report(self) -> ServerVersion:
        """Which program of which version was taken, and where it answers."""

    @property
    def pid(self) -> int:
        """Id of its process: of a server of several, the one that the others end with."""
        assert self._child is not None, "it was never started"
        return self._child.pid

    def is_running(self) -> bool:
        """Whether its process lives."""
        return self._child is not None and self._child.is_running()

    def stop(self) -> None:
        """End it the way its documentation recommends, so that all it holds is on disk."""
        if self._child is not None:
            self._child.stop(timeout_s=self._stop_timeout_s)

    def kill(self) -> None:
        """SIGKILL: a crash. The next start finds what was on disk, or in the operating system's hands."""
        if self._child is not None:
            self._child.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
