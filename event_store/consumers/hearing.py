"""Hearing of appends of other processes: hints become news, so that idle consumers of this one need hardly poll."""

import contextlib
import threading
from collections.abc import Iterator
from typing import Final

import structlog

from event_store.consumers.news import News
from event_store.log.hints import LOG, HintListener

END_S_MAX: Final = 5.0

log = structlog.get_logger()


@contextlib.contextmanager
def hearing(database_url: str, news: News) -> Iterator[None]:
    """Announce hints for the length of a block; while they cannot be heard, `news.hinted` says so."""
    listener = HintListener(database_url, name="hints", channel=LOG, role=None)
    stop = threading.Event()
    thread = threading.Thread(target=_hear, args=(listener, news, stop), name="hints", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        listener.wake()
        thread.join(END_S_MAX)
        if not thread.is_alive():
            listener.close()


def _hear(listener: HintListener, news: News, stop: threading.Event) -> None:
    while not stop.is_set():
        hinted = listener.listen()
        if hinted != news.hinted:
            news.hinted = hinted
            log.info("hints_heard" if hinted else "hints_not_heard")
            news.announce()  # what was appended while nobody listened
        listener.wait()
        news.announce()
