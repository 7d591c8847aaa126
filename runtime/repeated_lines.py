"""Lines that a library logs again and again while a server is away: each is kept back for a while."""

import logging
import re
import time
from typing import Final

REPEATED_LOG_S: Final = 10.0
"""How long the same line is kept back: a refused connection, or a lost topic, is tried many times a second."""

LINES_KEPT: Final = 256
"""Different lines whose time is remembered."""

_NUMBERS: Final = re.compile(r"\d+")


class OnceInAWhile(logging.Filter):
    """Lets a line of one library, or of a part of it, pass again after a while; lines of others always pass.

    Where a connection ended there is no trace either: that is no defect, and another line says what happened.
    """

    def __init__(self, library: str) -> None:
        super().__init__(library)
        self._said_at: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is logged. Several threads may ask at once: then two may pass."""
        if not super().filter(record):
            return True
        now, line = time.monotonic(), _NUMBERS.sub("#", record.name + record.getMessage())
        if now - self._said_at.get(line, float("-inf")) < REPEATED_LOG_S:
            return False
        if len(self._said_at) >= LINES_KEPT:
            self._said_at.clear()
        self._said_at[line] = now
        if record.exc_info is not None and isinstance(record.exc_info[1], OSError):
            record.exc_info = None
        return True
