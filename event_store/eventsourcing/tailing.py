"""Following a part of the log: read what there is, wait for a hint, go on, until somebody says stop."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from event_store.log.hints import HintListener

T = TypeVar("T")


class Tail(Generic[T]):
    """Events after a position, one by one, waiting for more. One thread reads; any may stop it."""

    def __init__(
        self, read: Callable[[int], tuple[Sequence[T], int]], *, after: int, listener: HintListener
    ) -> None:
        """Nothing is read yet.

        Args:
            read: what is behind a position, and the position up to which that is all.
            after: where to begin.
            listener: tells that there may be more; it is closed here.
        """
        self._read = read
        self._after = after
        self._listener = listener
        self._found: deque[T] = deque()
        self._stopped = threading.Event()
        self._in_take = threading.Lock()

    def take(self) -> T:
        """The next one.

        Raises:
            StopIteration: it was stopped.
        """
        with self._in_take:
            while not self._found and not self._stopped.is_set():
                self._read_on()
            if self._stopped.is_set():
                self._listener.close()
                raise StopIteration
            return self._found.popleft()

    def stop(self) -> None:
        """End it, from any thread."""
        self._stopped.set()
        self._listener.wake()
        if self._in_take.acquire(blocking=False):  # else the thread that waits there closes
            self._listener.close()
            self._in_take.release()

    def _read_on(self) -> None:
        """Read what there is; if there is nothing, wait for more. It listens first, so no hint falls between."""
        self._listener.listen()
        found, self._after = self._read(self._after)
        self._found.extend(found)
        if not found:
            self._listener.wait()
