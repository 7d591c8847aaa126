"""Random bytes by the page: asking the kernel for sixteen at a time costs a request more than reading its headers."""

import os
import threading
from typing import Final

PAGE_BYTES: Final = 4_096


class _Page(threading.local):
    """What is left of a thread's last page. Each byte is given out once, also in a process that forks."""

    def __init__(self) -> None:
        self._left = b""
        self._at = 0

    def take(self, count: int) -> bytes:
        begin, end = self._at, self._at + count
        if end > len(self._left):
            self._left = os.urandom(max(PAGE_BYTES, count))
            begin, end = 0, count
        self._at = end
        return self._left[begin:end]

    def drop(self) -> None:
        self._left = b""
        self._at = 0


_page = _Page()
os.register_at_fork(after_in_child=_page.drop)


def random_bytes(count: int) -> bytes:
    """So many bytes that nobody can foresee, never the same twice."""
    return _page.take(count)
