"""The worker's side of parking: rows of parked triggers, and operators' requests carried out between two batches."""

import asyncio
from collections.abc import Sequence

import structlog
from msgspec import Struct

from commands.processes import parked
from commands.processes.deciding import Decider
from commands.processes.parked import Active, AsyncConnection, NotParked, Request
from commands.processes.process import Process
from commands.processes.trigger import GivenUp, Trigger
from runtime import database

log = structlog.get_logger()

Key = tuple[str, str]


class _Retrying(Struct):
    """A request being carried out, and the positions of its key that have no outcome yet."""

    request: int
    remaining: set[int]


class Parking:
    """Parked triggers and requests about them. A row goes only when all that waited has an outcome."""

    def __init__(
        self, rows: AsyncConnection, *, database_url: str, active: Active, processes: Sequence[Process]
    ) -> None:
        self._rows = rows
        self._database_url = database_url
        self._active = active
        self._processes = {process.name: process for process in processes}
        self._retrying: dict[Key, _Retrying] = {}

    @property
    def retrying(self) -> bool:
        """Whether triggers are being decided again that are parked until then."""
        return bool(self._retrying)

    async def park(self, trigger: Trigger, failure: str | None) -> None:
        """Note a trigger that cannot be decided, or that waits behind such a one."""
        if failure is None:
            await parked.queue(self._rows, trigger, active=self._active)
            return
        retrying = self._retrying.pop(trigger.parking_key, None) if trigger.unparked else None
        queued = 0 if retrying is None else len(retrying.remaining) - 1
        await parked.park(self._rows, trigger, reason=failure, queued=queued, active=self._active)
        if retrying is not None:
            await parked.executed(self._rows, retrying.request, outcome=f"failed again: {failure}")
        log.error(
            "trigger_parked",
            process=trigger.process.name,
            partition_key=trigger.record.key,
            position=trigger.record.position,
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
        await parked.unpark(self._rows, process=process, partition_key=partition_key)
        await parked.executed(self._rows, retrying.request, outcome="done")
        log.info("key_unparked", process=process, partition_key=partition_key)

    async def carry_out_requests(self, decider: Decider) -> None:
        """Hand requested triggers over to be decided again; one request at a time for each key."""
        for request in await parked.pending(self._rows):
            key = (request.process, request.partition_key)
            if request.process not in self._processes or key in self._retrying:
                continue
            triggers = await asyncio.to_thread(self._triggers, request)
            if not triggers or triggers[0].record.position != request.position:
                stands = triggers[0].record.position if triggers else "nowhere"
                await parked.executed(
                    self._rows, request.request, outcome=f"void: the key stands at {stands}"
                )
                continue
            if request.kind == "skip":
                triggers[0].given_up = GivenUp(request.actor, request.note)
            remaining = {trigger.record.position for trigger in triggers}
            self._retrying[key] = _Retrying(request.request, remaining)
            decider.retry(triggers)
            log.info("parked_key_retried", process=key[0], partition_key=key[1], request=request.kind)

    def _triggers(self, request: Request) -> list[Trigger]:
        """The parked triggers of a key from the log; none when it is not parked (any more)."""
        with database.connect(self._database_url, role="counterfoil_writer", name="processes parked") as conn:
            try:
                key = parked.parked_key(conn, process=request.process, partition_key=request.partition_key)
            except NotParked:
                return []
            return parked.parked_triggers(conn, key, self._processes[request.process])
