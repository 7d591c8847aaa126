"""From a decision to the log and back: the append that records it, and the states that it leads to."""

from collections.abc import Callable
from typing import Any

import msgspec

from commands.decision import Decision, Folded, View
from domain import event as domain_event
from domain.aggregate import Aggregate
from domain.event import Event
from event_store import codec
from event_store.envelope import (
    AppendRequest,
    Expectation,
    Metadata,
    NewEvent,
    encode_metadata,
    new_nonce,
)


def append_request(
    decision: Decision,
    view: View,
    *,
    key: bytes,
    fingerprint: bytes,
    cause: Metadata,
    chain: int | None = None,
) -> AppendRequest:
    """The one append of a decision: its events, and all that it relied on.

    A stream that is appended to is relied on, also when the decision did not look at it. `cause` is the metadata of
    every event but for what each has of its own: nonce, tags and partition key.

    Raises:
        Missing: the view does not hold a stream that is appended to.
    """
    for aggregate, identifier, _ in decision.events:
        view.rely_on(aggregate, aggregate.stream(identifier))
    return AppendRequest(
        key=key,
        fingerprint=fingerprint,
        events=tuple(
            [
                _new_event(aggregate.stream(identifier), event, view, cause)
                for aggregate, identifier, event in decision.events
            ]
        ),
        expectations=tuple(
            [Expectation(stream, folded.version) for stream, folded in view.relied_on.items()]
        ),
        conditions=(*[stated.condition for stated in decision.conditions], *view.conditions),
        chain=chain,
    )


def evolved(
    decision: Decision, view: View, *, first: int = 0, of: Callable[[Aggregate[Any]], bool] = lambda _: True
) -> dict[str, tuple[Aggregate[Any], Folded[Any]]]:
    """The states that a decision leads to, of the streams it appends to, if its first event is at position `first`.

    `of` says of which aggregates they are wanted: folding what nobody keeps is work for nothing.
    """
    reached: dict[str, tuple[Aggregate[Any], Folded[Any]]] = {}
    for position, (aggregate, identifier, event) in enumerate(decision.events, start=first):
        if not of(aggregate):
            continue
        stream = aggregate.stream(identifier)
        base = reached[stream][1] if stream in reached else view.relied_on[stream]
        folded = Folded(
            state=aggregate.evolve(base.state, event),
            version=base.version + 1,
            position=position,
            key=partition_key(stream, event),
        )
        reached[stream] = (aggregate, folded)
    return reached


def partition_key(stream: str, event: Event) -> str:
    """The partition key of an event in a stream."""
    declared = domain_event.partition_key_of(event)
    return stream if declared is None else declared


def _new_event(stream: str, event: Event, view: View, cause: Metadata) -> NewEvent:
    declared, tags = domain_event.partition_key_of(event), domain_event.tags_of(event)
    base = view.relied_on[stream]
    assert base.version == 0 or base.key == (declared or stream), f"{stream} would lie in two partitions"
    metadata = msgspec.structs.replace(cause, nonce=new_nonce(), tags=tags, partition_key=declared)
    return NewEvent(stream, *codec.encode(event), encode_metadata(metadata), declared, tags)
