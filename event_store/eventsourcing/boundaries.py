"""The recorder of `eventsourcing.dcb` on the log: dynamic consistency boundaries as append conditions and tag reads.

An event's tags stand in the log behind the application's category, since the log's tags are everybody's. Each event
also carries the category alone, by which items of a query without tags find it. It is appended to the stream that is
called after its first tag: what it belongs to in Kafka and in views, while order and conditions never depend on it.
"""

import secrets
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final, LiteralString, NamedTuple

from eventsourcing.dcb.api import (
    DCBAppendCondition,
    DCBEvent,
    DCBQuery,
    DCBQueryItem,
    DCBReadResponse,
    DCBRecorder,
    DCBSequencedEvent,
    DCBSubscription,
)
from eventsourcing.persistence import DataError, ProgrammingError

from event_store.eventsourcing import append_requests, state_encoding
from event_store.eventsourcing.datastore import Datastore, rows
from event_store.eventsourcing.tailing import Tail
from event_store.log import envelope
from event_store.log.appending import limits
from event_store.log.envelope import (
    ANY,
    KEY_BYTES,
    TAGS_PER_CONDITION_MAX,
    AppendRequest,
    Condition,
    Expectation,
    Metadata,
    NewEvent,
)
from event_store.log.hints import HintListener
from runtime.actors import actor

COMMAND: Final = "append"
"""What the metadata name as the command of every event of this recorder."""

TAGS_MAX: Final = limits.EVENT_TAGS_MAX - 1
"""Tags of one event; one more is ours."""

UNTAGGED: Final = "~"
"""What the stream of events without tags is called after."""

EVENTS_PER_READ: Final = 500
"""Events that are held in memory at once, but for a read with a larger limit."""

NO_END: Final = 2**63 - 1

_SEPARATOR: Final = ":"

# Each item is read along its first tag, by type, in order and no further than the page; the other tags are probed.
_MATCHES: LiteralString = """
select distinct m.position
from unnest(%(first)s::text[], %(others)s::text[], %(types)s::text[]) as i (tag, others, types)
cross join lateral unnest(
    case when i.types = '' then log.types_tagged(i.tag) else string_to_array(i.types, ' ') end
) as a (type)
cross join lateral (
    select t.position from log.tag t
    where t.tag = i.tag and t.type = a.type and t.position > %(after)s and t.position <= %(upto)s
        and not exists (
            select from unnest(string_to_array(i.others, E'\n')) as o (tag)
            where not exists (
                select from log.tag x where x.tag = o.tag and x.type = a.type and x.position = t.position
            )
        )
    order by t.position limit %(limit)s
) m
order by m.position limit %(limit)s
"""
# The head of the same snapshot says up to where a page that is not full is all there is.
READ: Final = f"""
select h.position, f.position, f.type, f.payload, f.metadata from log.head h left join (
    select e.position, e.type, e.payload::text as payload, e.metadata::text as metadata from ({_MATCHES}) p
    join log.event e on e.position = p.position
) f on true order by f.position
"""


class LogDCBRecorder(DCBRecorder):
    """Reads and appends the events of one application under conditions."""

    def __init__(self, datastore: Datastore, *, category: str) -> None:
        """Nothing is asked of the database yet."""
        self._datastore = datastore
        self._boundary = _Boundary(category)

    def read(
        self, query: DCBQuery | None = None, *, after: int | None = None, limit: int | None = None
    ) -> DCBReadResponse:
        """The events that match any item of the query, in order; page by page unless a limit says how many.

        Raises:
            ProgrammingError: the query cannot be expressed here; the message says why.
        """
        wanted = self._boundary.query(query)
        if limit == 0:
            return _Response(iter(()), None)
        found, head = self._page(wanted, after or 0, upto=NO_END, limit=limit or EVENTS_PER_READ)
        if limit is None:
            return _Response(self._pages(wanted, found, upto=head), head or None)
        return _Response(iter(found), found[-1].position if found else None)

    def append(self, events: Sequence[DCBEvent], condition: DCBAppendCondition | None = None) -> int:
        """Append all of these events, or none; the position of the last.

        Raises:
            IntegrityError: an event matches the condition.
            ProgrammingError: the condition cannot be expressed here, or there is no event.
            DataError: an event cannot be stored; the message says why.
            OperationalError: they may be appended or not: read again.
        """
        if not events:
            raise ProgrammingError("an append has at least one event")
        return self._datastore.append(self._boundary.request(events, condition))[-1]

    def subscribe(
        self, query: DCBQuery | None = None, *, after: int | None = None
    ) -> DCBSubscription["LogDCBRecorder"]:
        """An iterator over the events that match, which waits for more.

        Raises:
            ProgrammingError: as `read`.
        """
        return LogDCBSubscription(self, query, after)

    def tail(
        self, after: int, *, query: DCBQuery | None, limit: int = EVENTS_PER_READ
    ) -> tuple[Sequence[DCBSequencedEvent], int]:
        """Events that match behind a position, and the position up to which these are all."""
        found, head = self._page(self._boundary.query(query), after, upto=NO_END, limit=limit)
        return found, (found[-1].position if len(found) == limit else max(after, head))

    def listener(self) -> HintListener:
        """For one subscription: what tells it of new events."""
        return self._datastore.listener()

    def _pages(
        self, wanted: Sequence["_Item"], found: Sequence[DCBSequencedEvent], *, upto: int
    ) -> Iterator[DCBSequencedEvent]:
        yield from found
        while len(found) == EVENTS_PER_READ:
            found, _ = self._page(wanted, found[-1].position, upto=upto, limit=EVENTS_PER_READ)
            yield from found

    def _page(
        self, wanted: Sequence["_Item"], after: int, *, upto: int, limit: int
    ) -> tuple[Sequence[DCBSequencedEvent], int]:
        """Events in order, and the log's head when they were read."""
        given = {
            "first": [item.tags[0] for item in wanted],
            "others": ["\n".join(item.tags[1:]) for item in wanted],
            "types": [" ".join(item.types) for item in wanted],
            "after": after,
            "upto": upto,
            "limit": limit,
        }
        found = self._datastore.read(lambda connection: rows(connection, READ, given))
        events = [self._boundary.event(*row) for _, *row in found if row[0] is not None]
        return events, min(found[0][0], upto)


class LogDCBSubscription(DCBSubscription[LogDCBRecorder]):
    """Yields the events that match from a position on, and waits for more, until it is stopped."""

    def __init__(
        self, recorder: LogDCBRecorder, query: DCBQuery | None = None, after: int | None = None
    ) -> None:
        super().__init__(recorder=recorder, query=query, after=after)
        recorder.tail(after or 0, query=query, limit=1)  # a query that cannot be expressed is refused here
        self._tail = Tail(partial(recorder.tail, query=query), after=after or 0, listener=recorder.listener())

    def stop(self) -> None:
        """End the iteration, from any thread."""
        super().stop()
        self._tail.stop()

    def __next__(self) -> DCBSequencedEvent:
        return self._tail.take()


class _Response(DCBReadResponse):
    def __init__(self, events: Iterator[DCBSequencedEvent], head: int | None) -> None:
        self._events = events
        self._head = head

    @property
    def head(self) -> int | None:
        """Where the log ended when this was read; with a limit, the last event's position."""
        return self._head

    def __next__(self) -> DCBSequencedEvent:
        return next(self._events)


class _Item(NamedTuple):
    """All of these tags of the log, the first of them read along; any of these types, or of any if there is none."""

    tags: tuple[str, ...]
    types: tuple[str, ...]


class _Boundary:
    """How an application's events, queries and conditions are written in the log."""

    def __init__(self, category: str) -> None:
        self._category = category
        self._prefix = category + _SEPARATOR

    def query(self, query: DCBQuery | None) -> list[_Item]:
        """The items of a query; without any it is everything of the application.

        Raises:
            ProgrammingError: an item cannot be expressed.
        """
        return [self._item(item) for item in (query.items if query else ())] or [_Item((self._category,), ())]

    def _item(self, item: DCBQueryItem) -> _Item:
        tags, types = dict.fromkeys(item.tags), dict.fromkeys(item.types)
        if len(tags) > TAGS_PER_CONDITION_MAX:
            raise ProgrammingError(
                f"an item names at most {TAGS_PER_CONDITION_MAX} tags here, not {len(tags)}: the log checks every"
                " condition under its one lock. Give the events one tag for what these say together"
            )
        if any("\n" in tag for tag in tags):
            raise ProgrammingError("no tag here holds a line feed")
        if any(not name or " " in name for name in types):
            raise ProgrammingError("no event type here is empty or holds a space")
        return _Item(tuple(self._prefix + tag for tag in tags) or (self._category,), tuple(types))

    def request(self, events: Sequence[DCBEvent], condition: DCBAppendCondition | None) -> AppendRequest:
        """One append of all of these events under the condition.

        Raises:
            DataError: an event cannot be stored.
            ProgrammingError: the condition cannot be expressed.
        """
        key = secrets.token_bytes(KEY_BYTES)
        written = tuple(self._written(event, key=key.hex()) for event in events)
        items = () if condition is None else self.query(condition.fail_if_events_match)
        after = 0 if condition is None else condition.after or 0
        return AppendRequest(
            key=key,
            fingerprint=append_requests.fingerprint(written),
            events=written,
            expectations=tuple(
                Expectation(stream, ANY) for stream in dict.fromkeys(event.stream for event in written)
            ),
            conditions=tuple(Condition(item.tags, item.types, after) for item in items),
        )

    def _written(self, event: DCBEvent, *, key: str) -> NewEvent:
        tags = tuple(dict.fromkeys(event.tags))
        if len(tags) > TAGS_MAX:
            raise DataError(f"an event has at most {TAGS_MAX} tags here, not {len(tags)}")
        if " " in event.type:
            raise DataError(f"no event type here holds a space, as {event.type!r} does")
        payload, encoding = state_encoding.payload_of(event.data)
        of_log = (*(self._prefix + tag for tag in tags), self._category)
        metadata = Metadata(
            actor=actor("application", self._category),
            command=COMMAND,
            correlation_id=key,
            nonce=envelope.new_nonce(),
            idempotency=key,
            tags=of_log,
            payload_encoding=encoding,
        )
        stream = f"{self._category}-{tags[0] if tags else UNTAGGED}"
        return NewEvent(stream, event.type, payload, envelope.encode_metadata(metadata), tags=of_log)

    def event(self, position: int, type_name: str, payload: str, metadata: str) -> DCBSequencedEvent:
        """An event as it was given, but for tags given twice."""
        tags = envelope.decode_metadata(metadata.encode()).tags
        own = [tag.removeprefix(self._prefix) for tag in tags if tag.startswith(self._prefix)]
        event = DCBEvent(type=type_name, data=state_encoding.state_of(payload.encode()), tags=own)
        return DCBSequencedEvent(event=event, position=position)
