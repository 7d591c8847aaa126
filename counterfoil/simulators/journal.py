"""A simulated party's own book: a file of JSON lines, only ever added to, each line on the disk before it counts."""

import os
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import msgspec
from msgspec import Struct

from counterfoil.user_messages import UserError
from runtime.decoders import json_decoder


class LedgerEntry(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One request, and what was done about it; `answer` is what its answer said, whether or not it arrived.

    `call` is find or buy; `did` is sold, refused, repeated, found, unknown or failed.
    """

    at: float
    call: str
    key: str
    did: str
    shipment: str = ""
    country: str = ""
    contents: list[dict[str, Any]] = []
    answer: dict[str, Any] = {}
    fault: str = ""


class NoLedger(UserError):
    """A file holds something else than the book of this party, and is left as it is."""


E = TypeVar("E", bound=Struct)


class Ledger(Generic[E]):
    """The book at a path; entries of an earlier process are read first. Threads that share it need a lock."""

    def __init__(self, path: Path, kind: type[E]) -> None:
        self._path, self._kind = path, kind
        self._file = path.open("ab")
        self._ends_whole = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def entries(self) -> list[E]:
        """Everything written so far; a line that a crash cut off never counted.

        Raises:
            NoLedger: the file has lines of another kind.
        """
        read, lines = json_decoder(self._kind).decode, self._path.read_bytes().splitlines(keepends=True)
        try:
            return [read(line) for line in lines if line.endswith(b"\n")]
        except msgspec.DecodeError as error:
            raise NoLedger(
                f"{self._path} is no ledger of this simulator: name that of an earlier run, or a new file"
            ) from error

    def write(self, entry: E) -> None:
        """Add an entry; it is on the disk afterwards. The first takes the place of what a crash cut off."""
        if not self._ends_whole:
            self._file.truncate(self._path.read_bytes().rfind(b"\n") + 1)
            self._ends_whole = True
        self._file.write(msgspec.json.encode(entry) + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
