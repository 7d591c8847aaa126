"""`counterfoil replay`: the history of one stream, and what it amounts to after each event."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec import Struct

from counterfoil.context import Contexts
from event_store.log import codec, envelope, reading
from event_store.log.envelope import Metadata, RecordedEvent
from runtime import database, rfc3339

EVENTS_PER_PAGE: Final = 1_000
BEFORE_ALL: Final = -1
"""Versions count from 1, those of an application's streams from 0 if it likes."""


class BadMoment(Exception):
    """What `--as-of` says is neither a position nor a time."""


class NoSuchStream(Exception):
    """The stream has no event, or none up to that moment."""


POSITION_DIGITS_MAX: Final = 100
"""More than any position has."""


class ReplayedEvent(Struct, frozen=True):
    """One event, who caused it and why, and the state it leaves; None for streams whose states nobody declares.

    `metadata` is None where the stored one cannot be read: `counterfoil audit verify` says what became of it.
    """

    position: int
    version: int
    type: str
    recorded_at: datetime
    metadata: Metadata | None
    payload: Any
    state: Any

    def as_json(self) -> dict[str, Any]:
        """One JSON line."""
        known = self.metadata
        return {
            "position": self.position,
            "version": self.version,
            "type": self.type,
            "recorded_at": self.recorded_at.isoformat(),
            "occurred_at": None
            if known is None or known.occurred_at is None
            else known.occurred_at.isoformat(),
            "actor": known and known.actor,
            "command": known and known.command,
            "causation": known and known.causation,
            "correlation_id": known and known.correlation_id,
            "payload": self.payload,
            "state": self.state,
        }

    def lines(self) -> list[str]:
        """The same for people."""
        head = f"{self.position}  v{self.version}  {self.recorded_at:%Y-%m-%d %H:%M:%S.%f}Z  {self.type}"
        event = msgspec.json.encode(self.payload).decode()
        state = msgspec.json.encode(self.state).decode()
        return [head, f"    {self._cause()}", f"    event {event}", f"    state {state}"]

    def _cause(self) -> str:
        known = self.metadata
        if known is None:
            return "by    ? (metadata cannot be read: run `counterfoil audit verify`)"
        because = "" if known.causation is None else f", caused by the event at {_place(known.causation)}"
        return f"by    {known.actor} with {known.command}{because}, correlation {known.correlation_id}"


def history(
    database_url: str, stream: str, *, contexts: Contexts, as_of: str | None = None
) -> Iterator[ReplayedEvent]:
    """Every event of a stream in order, each with the state after it.

    Args:
        database_url: of the log.
        stream: its name, e.g. `order-536365`.
        contexts: which say how a state follows from events.
        as_of: a position of the log or an RFC 3339 time (of recording); the end of the log when None.

    Raises:
        BadMoment, NoSuchStream, codec.CodecError.
    """
    aggregate = contexts.aggregate_of(stream)
    state: Any = None
    after = BEFORE_ALL
    with database.connect(database_url, role="counterfoil_reader", name="replay") as connection:
        upto = _position(connection, as_of)
        while events := reading.read_stream(
            connection, stream, after_version=after, upto=upto, limit=EVENTS_PER_PAGE
        ):
            for event in events:
                if aggregate is not None:
                    state = aggregate.evolve(state, codec.decode(event.type, event.payload))
                yield _step(event, state)
            after = events[-1].version
    if after == BEFORE_ALL:
        moment = f" as of {as_of}" if as_of else ""
        raise NoSuchStream(f"stream {stream} has no event{moment}")


def _step(event: RecordedEvent, state: object) -> ReplayedEvent:
    try:
        metadata = envelope.decode_metadata(event.metadata)
    except msgspec.DecodeError:
        metadata = None
    return ReplayedEvent(
        event.position,
        event.version,
        event.type,
        event.recorded_at,
        metadata,
        msgspec.json.decode(event.payload),
        msgspec.to_builtins(state),
    )


def _place(causation: str) -> str:
    """`<epoch>.<position>` in words."""
    epoch, _, position = causation.partition(".")
    return f"{position} (epoch {epoch})"


def _position(connection: reading.Connection, as_of: str | None) -> int | None:
    if as_of is None:
        return None
    if as_of.isascii() and as_of.isdigit():
        head = reading.head(connection).position
        if len(as_of) > POSITION_DIGITS_MAX or int(as_of) > head:
            raise BadMoment(f"{as_of} has not come yet: the log ends at {head:,}")
        return int(as_of)
    try:
        return reading.position_at(connection, rfc3339.moment(as_of))
    except ValueError as error:
        hint = "a time with an offset, such as 2026-03-01T12:00:00Z"
        raise BadMoment(f"{as_of!r} is neither a position nor {hint}") from error
    except reading.TimeAhead as error:
        raise BadMoment(str(error)) from error
