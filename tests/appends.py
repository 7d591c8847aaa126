"""Append requests to begin a test with: one event on one stream, of which a test changes only what it is about."""

import itertools
import os

from event_store.log.envelope import ANY, AppendRequest, Condition, Expectation, NewEvent

_numbers = itertools.count(1)

TYPE = "shop.happened.v1"


def new_event(stream: str, *, payload: bytes = b'{"n": 1}', tags: tuple[str, ...] = ()) -> NewEvent:
    """An event of no meaning."""
    return NewEvent(stream=stream, type=TYPE, payload=payload, metadata=b"{}", tags=tags)


def append_request(
    *streams: str,
    version: int = ANY,
    events: tuple[NewEvent, ...] | None = None,
    key: bytes | None = None,
    fingerprint: bytes = bytes(32),
    conditions: tuple[Condition, ...] = (),
    chain: int | None = None,
) -> AppendRequest:
    """One event on each stream, all expected at `version`, under a fresh key; a new stream when none is named."""
    names = streams or (f"order-{next(_numbers)}",)
    return AppendRequest(
        key=os.urandom(16) if key is None else key,
        fingerprint=fingerprint,
        events=tuple(new_event(stream) for stream in names) if events is None else events,
        expectations=tuple(Expectation(stream, version) for stream in names),
        conditions=conditions,
        chain=chain,
    )
