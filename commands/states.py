"""Folded states: loaded together, kept in this process, and never older than what they are used for.

A kept state may be behind the log; whoever decides on one names its version, and the log refuses what is out of date.
"""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, Final, Generic, TypeVar

from msgspec import Struct

from commands import limits
from commands.log_reading import LogReader
from domain.aggregate import Aggregate
from domain.event import Event
from event_store import codec, reading
from event_store.envelope import RecordedEvent

S = TypeVar("S")


class Folded(Struct, Generic[S], frozen=True):
    """The state of a stream at a version, and the log position of its last event. Version 0: there is none."""

    state: S | None
    version: int
    position: int


ABSENT: Final[Folded[Any]] = Folded(state=None, version=0, position=0)


class States:
    """The states that this process knows, least recently used dropped first."""

    def __init__(self, reader: LogReader) -> None:
        self._loader = StreamLoader(reader)
        self._kept: dict[str, Folded[Any]] = {}
        self._life = 0

    def __len__(self) -> int:
        return len(self._kept)

    def drop_all(self) -> None:
        """Forget everything, also what is being loaded: the log's history may be another one now."""
        self._kept.clear()
        self._life += 1

    def kept(self, stream: str) -> Folded[Any] | None:
        """The state as this process last saw it, None if it did not keep it."""
        found = self._kept.pop(stream, None)
        if found is not None:
            self._kept[stream] = found
        return found

    async def load(self, wanted: Mapping[str, Aggregate[Any]]) -> dict[str, Folded[Any]]:
        """The states of these streams, at least as new as this call.

        Raises:
            LogUnreachable: the database does not answer.
        """
        life = self._life
        known = {stream: self._kept.get(stream, ABSENT) for stream in wanted}
        events = await self._loader.load({stream: folded.version for stream, folded in known.items()})
        if life != self._life:
            return await self.load(wanted)
        loaded = {}
        for stream, aggregate in wanted.items():
            folded = known[stream]
            for event in events.get(stream, ()):
                folded = _evolved(aggregate, folded, event)
            loaded[stream] = folded
            self._keep(stream, aggregate, folded)
        return loaded

    def advance(
        self,
        stream: str,
        aggregate: Aggregate[S],
        *,
        base: Folded[S],
        events: Iterable[Event],
        version: int,
        position: int,
    ) -> None:
        """Keep the state that accepted events lead to."""
        if not aggregate.cached:
            return
        state = base.state
        for event in events:
            state = aggregate.evolve(state, event)
        self._keep(stream, aggregate, Folded(state=state, version=version, position=position))

    def _keep(self, stream: str, aggregate: Aggregate[Any], folded: Folded[Any]) -> None:
        if not aggregate.cached or folded.version == 0:
            return
        present = self._kept.pop(stream, folded)
        self._kept[stream] = present if present.version > folded.version else folded
        if len(self._kept) > limits.STATES_MAX:
            del self._kept[next(iter(self._kept))]


def _evolved(aggregate: Aggregate[Any], folded: Folded[Any], recorded: RecordedEvent) -> Folded[Any]:
    event = codec.decode(recorded.type, recorded.payload)
    return Folded(
        state=aggregate.evolve(folded.state, event), version=recorded.version, position=recorded.position
    )


class _Load:
    """What one caller waits for: the events of streams behind versions."""

    __slots__ = ("after", "found")

    def __init__(self, after: Mapping[str, int]) -> None:
        self.after = after
        self.found: asyncio.Future[dict[str, list[RecordedEvent]]] = (
            asyncio.get_running_loop().create_future()
        )


class StreamLoader:
    """Reads streams for many callers at once: what is asked for while a query runs shares the next one.

    A caller's query always begins after it asked, so nothing older than the question is answered.
    """

    def __init__(self, reader: LogReader) -> None:
        self._reader = reader
        self._waiting: list[_Load] = []
        self._running: set[asyncio.Task[None]] = set()

    async def load(self, after: Mapping[str, int]) -> dict[str, list[RecordedEvent]]:
        """The events of each stream behind the version given; streams without any are absent.

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
            try:
                found = await self._read(_together(loads))
            except Exception as error:  # noqa: BLE001 - whoever waits is told, and the next read is tried
                _fail(loads, error)
            else:
                _tell(loads, found)

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

    async def _read(self, after: dict[str, int]) -> dict[str, list[RecordedEvent]]:
        return await self._reader.read(lambda connection: reading.load_streams_async(connection, after))


def _together(loads: Iterable[_Load]) -> dict[str, int]:
    after: dict[str, int] = {}
    for load in loads:
        for stream, version in load.after.items():
            after[stream] = min(version, after.get(stream, version))
    return after


def _tell(loads: Iterable[_Load], found: Mapping[str, list[RecordedEvent]]) -> None:
    for load in loads:
        if load.found.done():
            continue
        load.found.set_result(
            {
                stream: [event for event in found[stream] if event.version > version]
                for stream, version in load.after.items()
                if stream in found
            }
        )


def _fail(loads: Iterable[_Load], error: Exception) -> None:
    for load in loads:
        if not load.found.done():
            load.found.set_exception(error)
