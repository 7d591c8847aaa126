"""A declared consumer of the log: "for each event of this type, do this", in one place.

A handler gets a connection and an event, and writes with that connection and nothing else: what it wrote is committed
together with the checkpoint, so each event takes effect once, in the order of the log.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from domain import event as domain_event
from domain.event import Event
from event_store.consumers.starting import Start
from event_store.log.codec import MalformedEvent
from event_store.log.decoding import Decoder
from event_store.log.envelope import RecordedEvent
from event_store.log.reading import Connection

E = TypeVar("E", bound=Event)

NAME_LENGTH_MAX: Final = 64

_NAME: Final = re.compile(r"[a-z][a-z0-9]*([_-][a-z0-9]+)*")

Begin = Callable[[Connection], None]
Handler = Callable[[Connection, E], None]
Every = Callable[[Connection, RecordedEvent], None]


class LogConsumer:
    """A consumer of the whole log. Its name is for ever: checkpoint, lease, parked keys and skips stand under it."""

    def __init__(self, name: str, *, start: Start) -> None:
        """Declare where it begins; what it does is declared with `on`, or with `on_all`.

        Raises:
            ValueError: the name is too long, or not lower-case words joined by `-` or `_`.
        """
        if not _NAME.fullmatch(name) or len(name) > NAME_LENGTH_MAX:
            raise ValueError(
                f"{name!r} is no name of a consumer: write one like 'event-counts', {NAME_LENGTH_MAX} letters at most"
            )
        self.name: Final = name
        self.start: Final = start
        self._begin: Begin | None = None
        self._handlers: dict[type[Event], Handler[Any]] = {}
        self._all: Every | None = None

    @property
    def lease(self) -> str:
        """The row of the lease that lets one process at a time work."""
        return f"consumer:{self.name}"

    @property
    def handles(self) -> bool:
        """Whether any handler is declared."""
        return bool(self._handlers) or self._all is not None

    def begin(self, prepare: Begin) -> Begin:
        """Declare what makes its tables, empty, in schema `consumer_tables`.

        It runs before the first event, and may run again until one was handled; so it drops what it finds. It also runs
        when `counterfoil log fence` has set the consumer back to where it began.
        """
        assert self._begin is None, f"{self.name} has a beginning already"
        self._begin = prepare
        return prepare

    def on(self, event: type[E]) -> Callable[[Handler[E]], Handler[E]]:
        """Declare the handler of events of this type, of all versions; it gets the newest version."""

        def declare(handler: Handler[E]) -> Handler[E]:
            assert self._all is None, f"{self.name} handles all events already"
            assert event not in self._handlers, f"{self.name} handles {event.__name__} already"
            self._handlers[event] = handler
            return handler

        return declare

    def on_all(self, handler: Every) -> Every:
        """Declare the handler of every event of the log; it gets the event as recorded."""
        assert not self.handles, f"{self.name} handles events already"
        self._all = handler
        return handler

    def dispatch(self) -> "Dispatch":
        """The dispatcher of events to the handlers, after all are declared."""
        return Dispatch(self._handlers, self._all)

    def prepare(self, conn: Connection) -> None:
        """Make its tables, empty."""
        if self._begin is not None:
            self._begin(conn)


class Dispatch:
    """Hands recorded events to the handlers of one consumer."""

    def __init__(self, handlers: Mapping[type[Event], Handler[Any]], every: Every | None) -> None:
        self._handlers = handlers
        self._all = every
        self._decoder = Decoder(domain_event.type_name(event) for event in handlers)

    @property
    def stems(self) -> list[str] | None:
        """The stems of the types of events to be read; None: all."""
        return None if self._all is not None else self._decoder.stems

    def wants(self, type_name: str) -> bool:
        """Whether there is a handler for events of this type."""
        return self._all is not None or self._decoder.wants(type_name)

    def handle(self, conn: Connection, recorded: RecordedEvent) -> None:
        """Call the handler of an event.

        Raises:
            UnknownEventVersion: the event is newer than this program.
            MalformedEvent: its payload has another shape than its type declares.
            Exception: whatever the handler raises.
        """
        if self._all is not None:
            self._all(conn, recorded)
            return
        event = self._decoder.decode(
            recorded.type, recorded.payload, position=recorded.position, stream=recorded.stream
        )
        if isinstance(event, MalformedEvent):
            raise event
        self._handlers[type(event)](conn, event)
