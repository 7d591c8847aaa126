"""Polls on their way from the thread that polls to the one that uses them: in order, bounded by their records."""

import threading
from collections import deque

import msgspec

from event_store.transport.transport import Batch, Partition


class Handed(msgspec.Struct):
    """What one poll brought.

    Per partition of the batch: `offsets` holds its highest position and the offset behind its last message,
    `starts` the number of the start request since which it was fetched.
    """

    batch: Batch
    offsets: dict[Partition, tuple[int, int]]
    starts: dict[Partition, int]

    @property
    def rebalanced(self) -> bool:
        """Whether partitions came or went with it."""
        return bool(self.batch.assigned or self.batch.revoked)


class Handover:
    """A queue of polls, full when it holds `records_max` records, however few polls they are."""

    def __init__(self, records_max: int) -> None:
        self._records_max = records_max
        self._waiting: deque[Handed] = deque()
        self._records = 0
        self._changed = threading.Condition()

    def put(self, handed: Handed, *, timeout_s: float) -> bool:
        """Wait for room, up to `timeout_s`; whether there was any."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._records < self._records_max, timeout_s):
                return False
            self._waiting.append(handed)
            self._records += handed.batch.count
            self._changed.notify_all()
            return True

    def take(self, *, timeout_s: float) -> Handed | None:
        """The oldest poll; None when there is none within `timeout_s`."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._waiting, timeout_s):
                return None
            return self._take()

    def take_more(self) -> Handed | None:
        """The oldest poll if there is one that partitions neither came nor went with."""
        with self._changed:
            return self._take() if self._waiting and not self._waiting[0].rebalanced else None

    @property
    def empty(self) -> bool:
        """Whether nothing waits at this moment."""
        with self._changed:
            return not self._waiting

    def _take(self) -> Handed:
        handed = self._waiting.popleft()
        self._records -= handed.batch.count
        self._changed.notify_all()
        return handed
