"""The append that records a decision, and the states that follow from it."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from commands.decision import Decision, DecisionView, StreamState
from commands.log_reading import Placed
from domain import event as domain_event
from domain.aggregate import Aggregate
from domain.event import Event
from event_store.log import codec
from event_store.log.envelope import (
    AppendRequest,
    Expectation,
    Metadata,
    NewEvent,
    encode_metadata,
    new_nonce,
)


class Answer(Struct, frozen=True):
    """The log's answer to a command: version and position of the addressed stream.

    `touched` are the partition keys of what was appended, each with its highest position; where nothing was, those of
    the stream's last event. `replayed`: it was said before.
    """

    stream: str
    version: int
    position: int
    touched: tuple[tuple[str, int], ...]
    replayed: bool = False

    @property
    def identifier(self) -> str:
        """The stream's name without its category."""
        return self.stream.partition("-")[2]


class Unanswered(Struct, frozen=True):
    """An append of a chain without a verdict; appending under the same key again tells whether it is stored."""

    reason: str


class Unfit(Struct, frozen=True):
    """An append that the log can never take as it is: repeating it changes nothing."""

    reason: str


def append_request(
    decision: Decision,
    view: DecisionView,
    *,
    key: bytes,
    fingerprint: bytes,
    cause: Metadata,
    chain: int | None = None,
) -> AppendRequest:
    """The one append of a decision: its events, and all that it relied on.

    A stream that is appended to is relied on, also when the decision did not read it. `cause` is the metadata of
    every event but for what each has of its own: nonce, tags and partition key.

    Raises:
        Missing: the view does not hold a stream that is appended to.
    """
    streams = [aggregate.stream(identifier) for aggregate, identifier, _ in decision.events]
    for stream, (aggregate, _, _) in zip(streams, decision.events, strict=True):
        view.rely_on(aggregate, stream)
    return AppendRequest(
        key=key,
        fingerprint=fingerprint,
        events=tuple(
            [
                _new_event(
                    stream,
                    event,
                    view,
                    cause,
                    fingerprint=None if number else fingerprint,
                )
                for number, (stream, (_, _, event)) in enumerate(zip(streams, decision.events, strict=True))
            ]
        ),
        expectations=tuple(
            [Expectation(stream, folded.version) for stream, folded in view.relied_on.items()]
        ),
        conditions=(*[stated.condition for stated in decision.conditions], *view.conditions),
        chain=chain,
    )


def evolved(
    decision: Decision,
    view: DecisionView,
    *,
    first: int = 0,
    of: Callable[[Aggregate[Any]], bool] = lambda _: True,
) -> dict[str, tuple[Aggregate[Any], StreamState[Any]]]:
    """The states that a decision leads to, of the streams it appends to, if its first event is at position `first`.

    `of` says of which aggregates they are wanted: folding what nobody keeps is work for nothing.
    """
    reached: dict[str, tuple[Aggregate[Any], StreamState[Any]]] = {}
    for position, (aggregate, identifier, event) in enumerate(decision.events, start=first):
        if not of(aggregate):
            continue
        stream = aggregate.stream(identifier)
        base = reached[stream][1] if stream in reached else view.relied_on[stream]
        folded = StreamState(
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


def _new_event(
    stream: str, event: Event, view: DecisionView, cause: Metadata, *, fingerprint: bytes | None
) -> NewEvent:
    declared, tags = domain_event.partition_key_of(event), domain_event.tags_of(event)
    base = view.relied_on[stream]
    assert base.version == 0 or base.key == (declared or stream), f"{stream} would lie in two partitions"
    metadata = msgspec.structs.replace(
        cause, nonce=new_nonce(), tags=tags, partition_key=declared, fingerprint=fingerprint
    )
    return NewEvent(stream, *codec.encode(event), encode_metadata(metadata), declared, tags)


def answer_of(
    stream: str, version: int, placed: Sequence[Placed], *, base: Placed, replayed: bool = False
) -> Answer:
    """The answer of the stream that was addressed.

    It follows from where the events of the append lie and from nothing else, so that it can be given again. `base` is
    the stream's last event if the append has none of it.
    """
    own, touched = base, {}
    for each in placed:
        touched[each.key] = each.position
        if each.stream == stream:
            own = each
    if not placed and base.position:
        touched[base.key] = base.position
    return Answer(stream, version, own.position, tuple(touched.items()), replayed)
