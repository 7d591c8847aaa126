"""Folded states: loaded together, kept in this process, and never older than what they are used for.

A kept state may be behind the log; a decision on one names its version, and the log refuses what is out of date.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from commands import limits, recording, refusals
from commands.decision import ABSENT, Decision, DecisionView, Selection, StreamState, TagQuery
from commands.log_reading import LogReader
from domain.aggregate import Aggregate
from event_store.log import codec, reading
from event_store.log.reading import StreamEvent
from projections import snapshots

Cursor = tuple[str, int]
"""A stream and the version behind which its events are wanted."""

FOLD_SLICE_EVENTS: Final = 200
"""Events folded without a pause: other tasks wait meanwhile, about a millisecond."""


class States:
    """The states that this process knows, least recently used dropped first.

    Kept are those that no other process writes all the time (`Aggregate.cached`).
    """

    def __init__(self, reader: LogReader) -> None:
        self._reader = reader
        self._loader = StreamLoader(reader)
        self._kept: dict[str, StreamState[Any]] = {}
        self._life = 0

    def __len__(self) -> int:
        return len(self._kept)

    def drop_all(self) -> None:
        """Drop all states, also those being loaded: the log may have another history now."""
        self._kept.clear()
        self._life += 1

    def keeps(self, aggregate: Aggregate[Any]) -> bool:
        """Whether states of such streams are kept."""
        return aggregate.cached

    def kept(self, stream: str) -> StreamState[Any] | None:
        """The state as this process last saw it, None if it did not keep it."""
        found = self._kept.pop(stream, None)
        if found is not None:
            self._kept[stream] = found
        return found

    async def load(
        self, wanted: Mapping[str, Aggregate[Any]], *, failures: dict[str, str] | None = None
    ) -> dict[str, StreamState[Any]]:
        """The states of these streams, at least as new as this call. A long stream comes page by page.

        A stream that cannot be folded raises what its fold did; where `failures` are taken, it is left out of the
        states and its failure noted there: others that were loaded with it are none the worse.

        Raises:
            LogUnreachable: the database does not answer.
            codec.UnknownEventType: a newer version of the product wrote a stream; this one must not decide on it.
        """
        life = self._life
        states = {stream: self._kept.get(stream, ABSENT) for stream in wanted}
        behind, first = list(wanted), True
        while behind:
            pages = await self._loader.load([(stream, states[stream].version) for stream in behind])
            for stream, page in zip(behind, pages, strict=True):
                try:
                    states[stream] = await _folded(wanted[stream], states[stream], page.events)
                except Exception as error:
                    if failures is None or isinstance(error, codec.UnknownEventType):
                        raise
                    failures[stream] = f"{stream} cannot be folded: {type(error).__name__}: {error}"
                    del states[stream]
            behind = [
                stream for stream, page in zip(behind, pages, strict=True) if page.more and stream in states
            ]
            if first:  # a stream that fits into a page is not worth asking for its snapshot
                states |= await self._from_snapshots({stream: wanted[stream] for stream in behind}, states)
                first = False
        if life != self._life:
            return await self.load(wanted, failures=failures)
        for stream, folded in states.items():
            self._keep(stream, wanted[stream], folded)
        return states

    async def _from_snapshots(
        self, wanted: Mapping[str, Aggregate[Any]], states: Mapping[str, StreamState[Any]]
    ) -> dict[str, StreamState[Any]]:
        """The states in snapshots of long streams, where they are further than these."""
        taken = {stream: aggregate for stream, aggregate in wanted.items() if aggregate.snapshot_every}
        if not taken:
            return {}
        found = await self._reader.read(lambda connection: snapshots.load_async(connection, taken))
        return {
            stream: StreamState(snapshot.state, snapshot.version, snapshot.position, snapshot.key)
            for stream, snapshot in found.items()
            if snapshot.version > states[stream].version
        }

    async def select(self, question: TagQuery) -> Selection:
        """The fold over the events that carry given tags, as of a position no older than this call.

        Raises:
            LogUnreachable: the database does not answer.
            ProblemError: there are more of them than one decision reads.
        """
        select, tags = question
        upto, events = await self._page(question)
        value, count = select.initial, len(events)
        while True:
            for number, event in enumerate(events, start=1):
                value = select.fold(value, codec.decode(event.type, event.payload))
                if number % FOLD_SLICE_EVENTS == 0:
                    await asyncio.sleep(0)
            if len(events) < reading.EVENTS_PER_STREAM_MAX:
                return Selection(value, upto)
            _, events = await self._page(question, after=events[-1].position, upto=upto)
            count += len(events)
            if count > limits.TAGGED_EVENTS_MAX:
                raise refusals.too_many_tagged(tags)

    async def _page(
        self, question: TagQuery, *, after: int = 0, upto: int | None = None
    ) -> tuple[int, list[StreamEvent]]:
        select, tags = question
        return await self._reader.read(
            lambda connection: reading.read_tagged_async(
                connection,
                tags,
                select.type_names,
                after=after,
                upto=upto,
                limit=reading.EVENTS_PER_STREAM_MAX,
            )
        )

    def settle(self, decision: Decision, view: DecisionView, *, first: int) -> None:
        """Keep the states that an accepted decision led to; its first event is at position `first`."""
        reached = recording.evolved(decision, view, first=first, of=self.keeps)
        for stream, (aggregate, folded) in reached.items():
            self._keep(stream, aggregate, folded)

    def _keep(self, stream: str, aggregate: Aggregate[Any], folded: StreamState[Any]) -> None:
        if folded.version == 0 or not self.keeps(aggregate):
            return
        present = self._kept.pop(stream, folded)
        self._kept[stream] = present if present.version > folded.version else folded
        if len(self._kept) > limits.STATES_MAX:
            del self._kept[next(iter(self._kept))]


async def _folded(
    aggregate: Aggregate[Any], folded: StreamState[Any], events: Sequence[StreamEvent]
) -> StreamState[Any]:
    """The state after these events. Other tasks have their turn between two slices of a long history."""
    state = folded.state
    for number, event in enumerate(events, start=1):
        state = aggregate.evolve(state, codec.decode(event.type, event.payload))
        if number % FOLD_SLICE_EVENTS == 0:
            await asyncio.sleep(0)
    if not events:
        return folded
    last = events[-1]
    return StreamState(state=state, version=last.version, position=last.position, key=last.key)


class Page(NamedTuple):
    """The next events of a stream, and whether there may be more behind them."""

    events: Sequence[StreamEvent]
    more: bool


class _Load:
    """One caller's request: the next events of streams after versions."""

    __slots__ = ("after", "found")

    def __init__(self, after: Sequence[Cursor]) -> None:
        self.after = after
        self.found: asyncio.Future[list[Page]] = asyncio.get_running_loop().create_future()


class StreamLoader:
    """Reads streams for many callers at once: what is asked for while a query runs shares the next one.

    A caller's query always begins after it asked, so nothing older than the question is answered.
    """

    def __init__(self, reader: LogReader) -> None:
        self._reader = reader
        self._waiting: list[_Load] = []
        self._running: set[asyncio.Task[None]] = set()

    async def load(self, after: Sequence[Cursor]) -> list[Page]:
        """The next page of each stream behind the version given, in the order asked.

        Raises:
            LogUnreachable: the database does not answer.
        """
        load = _Load(after)
        self._waiting.append(load)
        if len(self._running) < limits.LOADS_MAX:
            task = asyncio.create_task(self._run())
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return await load.found

    async def _run(self) -> None:
        while self._waiting:
            loads = self._take()
            cursors = list(dict.fromkeys(cursor for load in loads for cursor in load.after))
            limit = reading.events_per_stream(len(cursors))
            try:
                found = await self._read(cursors, limit)
            except Exception as error:  # noqa: BLE001 - the readers get the error, and the next read is tried
                _fail(loads, error)
            else:
                _resolve(loads, found, limit)

    def _take(self) -> list[_Load]:
        taken: list[_Load] = []
        streams = 0
        while self._waiting and (
            not taken or streams + len(self._waiting[0].after) <= limits.LOAD_STREAMS_MAX
        ):
            load = self._waiting.pop(0)
            streams += len(load.after)
            taken.append(load)
        return taken

    async def _read(self, cursors: Sequence[Cursor], limit: int) -> dict[Cursor, list[StreamEvent]]:
        return await self._reader.read(
            lambda connection: reading.load_streams_async(connection, cursors, limit=limit)
        )


def _resolve(loads: Iterable[_Load], found: Mapping[Cursor, list[StreamEvent]], limit: int) -> None:
    for load in loads:
        if not load.found.done():
            pages = [found.get(cursor, ()) for cursor in load.after]
            load.found.set_result([Page(events, more=len(events) == limit) for events in pages])


def _fail(loads: Iterable[_Load], error: Exception) -> None:
    for load in loads:
        if not load.found.done():
            load.found.set_exception(error)
