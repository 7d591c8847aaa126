"""News that the log may have grown: it ends the waits of a process whose consumers found nothing to do."""

import threading


class News:
    """Counts what was announced, so that a wait misses nothing that was announced since before it. Any thread."""

    def __init__(self) -> None:
        """Nothing was announced, and nobody listens to other processes."""
        self.hinted = False
        """Whether processes that append are heard, so that waits behind idle rounds may be long."""
        self._count = 0
        self._changed = threading.Condition()

    @property
    def count(self) -> int:
        """How often there was news; to be taken before the log is read."""
        return self._count

    def announce(self) -> None:
        """End all waits."""
        with self._changed:
            self._count += 1
            self._changed.notify_all()

    def wait_beyond(self, count: int, *, timeout_s: float) -> bool:
        """Wait until there was news after that count; False when there was none in time."""
        with self._changed:
            return self._changed.wait_for(lambda: self._count != count, timeout_s)
