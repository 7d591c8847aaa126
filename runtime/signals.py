"""Signals that ask a process to stop: they set an event, whatever the threads of the process are doing.

Python calls a handler in the main thread, between two steps of it, which is too late for one that sets an event. A
signal that comes when this thread has begun to wait for the event, and does not sleep yet, would be handled after the
wait that it was to end. And a handler that is called while this thread has the lock of the event waits for it for ever.
So Python writes the numbers of signals to a pipe as they come, and another thread sets the event.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Collection, Iterator
from types import FrameType
from typing import Final

STOPPING: Final = (signal.SIGTERM, signal.SIGINT)

READ_AT_ONCE: Final = 4_096
"""Signals; each is a byte."""


def _nothing(_number: int, _frame: FrameType | None) -> None:
    """The handler of a signal that is only to set an event."""


@contextlib.contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """An event that SIGTERM and SIGINT set while the block runs. Main thread only."""
    stop = threading.Event()
    with setting(stop, STOPPING):
        yield stop


@contextlib.contextmanager
def setting(
    event: threading.Event,
    numbers: Collection[int],
    *,
    handler: Callable[[int, FrameType | None], None] = _nothing,
) -> Iterator[None]:
    """Have signals set an event while the block runs. Main thread only.

    Args:
        event: what they set.
        numbers: of the signals.
        handler: called by the main thread besides, as soon as it can; it must not touch the event.
    """
    read, write = os.pipe()
    os.set_blocking(write, False)  # as Python demands of it
    hearing = threading.Thread(
        target=_hear, args=(read, frozenset(numbers), event), name="signals", daemon=True
    )
    hearing.start()
    written_before = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)
        signal.set_wakeup_fd(written_before)
        os.close(write)
        hearing.join()
        os.close(read)


def _hear(read: int, numbers: frozenset[int], event: threading.Event) -> None:
    """Set the event at each of these signals, until nobody writes any more."""
    while came := os.read(read, READ_AT_ONCE):  # of all signals that have a handler in Python
        if not numbers.isdisjoint(came):
            event.set()
