"""Work that may wait: it gets the processors that nobody else wants at the moment."""

import contextlib
import os
from collections.abc import Iterator
from typing import Final

BACKGROUND_NICE: Final = 19
"""The lowest scheduling priority there is (POSIX `nice`)."""


@contextlib.contextmanager
def background() -> Iterator[None]:
    """Give way to all other processes inside; afterwards as before, where this login may raise its priority again."""
    before = os.getpriority(os.PRIO_PROCESS, 0)
    os.setpriority(os.PRIO_PROCESS, 0, max(before, BACKGROUND_NICE))
    try:
        yield
    finally:
        with contextlib.suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, 0, before)
