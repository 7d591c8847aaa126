"""What parking means for triggers: they wait in the log, and a retry decides all that wait, in order, before others.

A row goes only when everything that waited has an outcome. A skip is a retry too: the trigger that was skipped has an
outcome already, which says so.
"""

import asyncio
from collections.abc import Mapping, Sequence

import structlog
from msgspec import Struct

from commands.processes.deciding import Decider
from commands.processes.process import Process
from commands.processes.trigger import Trigger
from event_store.consumers import parking
from event_store.consumers.parking import Active, Connection, Failure, ParkedKey, Request, Scope, Waiting
from event_store.log import reading
from event_store.transport import generations, partition_log

log = structlog.get_logger()

Key = tuple[str, str]
"""A process and a partition key."""


class _Retrying(Struct):
    """A request being carried out, and the positions of its key that have no outcome yet."""

    request: int
    remaining: set[int]


class Parking:
    """The parked triggers of one worker's processes, and requests about them; `conn` is used by one call at a time."""

    def __init__(self, conn: Connection, *, active: Active, processes: Sequence[Process]) -> None:
        self._conn = conn
        self._active = active
        self._processes = {process.name: process for process in processes}
        self._retrying: dict[Key, _Retrying] = {}

    @property
    def retrying(self) -> bool:
        """Whether triggers are being decided again that are parked until then."""
        return bool(self._retrying)

    async def park(self, trigger: Trigger, failure: str | None) -> None:
        """Note a trigger that cannot be decided, or (without a failure) that waits behind such a one."""
        scope, record = Scope(trigger.process.name), trigger.record
        if failure is None:
            waiting = {record.key: Waiting(1, record.position)}
            await asyncio.to_thread(parking.queue, self._conn, scope, waiting, active=self._active)
            return
        retrying = self._retrying.pop(trigger.parking_key, None) if trigger.unparked else None
        failed = Failure(
            record.key,
            position=record.position,
            stream=record.stream,
            version=record.version,
            type=record.type,
            reason=failure,
            queued=0 if retrying is None else len(retrying.remaining) - 1,
        )
        await asyncio.to_thread(parking.park, self._conn, scope, failed, active=self._active)
        if retrying is not None:
            await self._close(retrying.request, f"failed again: {failure}")
        log.error(
            "trigger_parked",
            process=scope.consumer,
            partition_key=record.key,
            position=record.position,
            reason=failure,
        )

    async def finished(self, trigger: Trigger) -> None:
        """Note that a trigger which was parked has its outcome."""
        retrying = self._retrying.get(trigger.parking_key)
        if retrying is None:
            return
        retrying.remaining.discard(trigger.record.position)
        if retrying.remaining:
            return
        del self._retrying[trigger.parking_key]
        process, partition_key = trigger.parking_key
        await asyncio.to_thread(parking.unpark, self._conn, Scope(process), partition_key)
        await self._close(retrying.request, "done")
        log.info("key_unparked", process=process, partition_key=partition_key)

    async def carry_out_requests(self, decider: Decider) -> None:
        """Hand requested triggers over to be decided again; one request at a time for each key."""
        for request in await asyncio.to_thread(parking.pending, self._conn, self._processes):
            key = (request.consumer, request.partition_key)
            if key in self._retrying:
                continue
            triggers = await asyncio.to_thread(self._triggers, request)
            if not triggers or triggers[0].record.position != request.position:
                stands = triggers[0].record.position if triggers else "nowhere"
                await self._close(request.request, f"void: the key stands at {stands}")
                continue
            remaining = {trigger.record.position for trigger in triggers}
            self._retrying[key] = _Retrying(request.request, remaining)
            decider.retry(triggers)
            log.info("parked_key_retried", process=key[0], partition_key=key[1], request=request.kind)

    async def _close(self, request: int, outcome: str) -> None:
        await asyncio.to_thread(parking.close, self._conn, request, outcome=outcome)

    def _triggers(self, request: Request) -> list[Trigger]:
        """The parked triggers of a key from the log; none when it is not parked (any more)."""
        process = self._processes[request.consumer]
        stands = parking.of_key(self._conn, process.name, request.partition_key)
        return [trigger for key in stands for trigger in _waiting(self._conn, key, process)]


def waiting(conn: Connection, processes: Sequence[str]) -> Mapping[Key, int]:
    """How many triggers are parked, the one that failed included, of these processes."""
    return {
        (name, key): 1 + parked.queued
        for name in processes
        for key, parked in parking.of_scope(conn, Scope(name)).items()
    }


def _waiting(conn: Connection, key: ParkedKey, process: Process) -> list[Trigger]:
    """The trigger that a key stands at and all that wait behind it, from the log, in order."""
    epochs = generations.epochs(conn)
    triggers: list[Trigger] = []
    after = key.position - 1
    while events := reading.read_key(conn, key.partition_key, after=after, upto=key.last_position):
        after = events[-1].position
        for event in events:
            if (reaction := process.reactions.get(event.type)) is not None:
                # Which partition carried it matters no more: a retried trigger moves no checkpoint.
                epoch = epochs.at(event.position)
                record = partition_log.as_record(event, partition=0, prev=0, epoch=epoch)
                triggers.append(Trigger(process, reaction, record, unparked=True))
    return triggers
