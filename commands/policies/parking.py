"""The worker's side of parking: rows of what waits, and requests of persons carried out between two decisions."""

import asyncio
from collections.abc import Sequence

import structlog
from msgspec import Struct

from commands.policies import parked
from commands.policies.parked import Active, AsyncConnection, NotParked, Request
from commands.policies.pipeline import Pipeline
from commands.policies.policy import Policy
from commands.policies.trigger import GivenUp, Trigger
from event_store.fingerprints import Fingerprints
from runtime import database

log = structlog.get_logger()

Key = tuple[str, str]


class _Retrying(Struct):
    """A request being carried out, and the positions of its key that have no outcome yet."""

    request: int
    remaining: set[int]


class Parking:
    """What waits for persons, and what they asked for. A row goes only when all that waited has an outcome."""

    def __init__(
        self,
        rows: AsyncConnection,
        *,
        database_url: str,
        active: Active,
        policies: Sequence[Policy],
        fingerprints: Fingerprints,
    ) -> None:
        self._rows = rows
        self._database_url = database_url
        self._active = active
        self._fingerprints = fingerprints
        self._policies = {policy.name: policy for policy in policies}
        self._retrying: dict[Key, _Retrying] = {}

    async def counts(self) -> dict[Key, int]:
        """How many triggers wait, by (policy, partition key)."""
        return await parked.counts(self._rows)

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
            policy=trigger.policy,
            partition_key=trigger.partition_key,
            position=trigger.position,
            reason=failure,
        )

    async def finished(self, trigger: Trigger) -> None:
        """Note that a trigger which was parked has its outcome."""
        retrying = self._retrying.get(trigger.parking_key)
        if retrying is None:
            return
        retrying.remaining.discard(trigger.position)
        if retrying.remaining:
            return
        del self._retrying[trigger.parking_key]
        policy, partition_key = trigger.parking_key
        await parked.unpark(self._rows, policy=policy, partition_key=partition_key)
        await parked.executed(self._rows, retrying.request, outcome="done")
        log.info("key_unparked", policy=policy, partition_key=partition_key)

    async def carry_out_requests(self, pipeline: Pipeline) -> None:
        """Hand over to the pipeline what persons asked for; one request at a time for each key."""
        for request in await parked.pending(self._rows):
            key = (request.policy, request.partition_key)
            if request.policy not in self._policies or key in self._retrying:
                continue
            triggers = await asyncio.to_thread(self._triggers, request)
            if not triggers or triggers[0].position != request.position:
                stands = triggers[0].position if triggers else "nowhere"
                await parked.executed(
                    self._rows, request.request, outcome=f"void: the key stands at {stands}"
                )
                continue
            if request.kind == "skip":
                triggers[0].given_up = GivenUp(request.actor, request.note)
            remaining = {trigger.position for trigger in triggers}
            self._retrying[key] = _Retrying(request.request, remaining)
            pipeline.retry(key, triggers)
            log.info("parked_key_retried", policy=key[0], partition_key=key[1], request=request.kind)

    def _triggers(self, request: Request) -> list[Trigger]:
        """The parked triggers of a key from the log; none when it is not parked (any more)."""
        with database.connect(self._database_url, role="counterfoil_writer", name="policies parked") as conn:
            try:
                key = parked.parked_key(conn, policy=request.policy, partition_key=request.partition_key)
            except NotParked:
                return []
            return parked.parked_triggers(
                conn, key, self._policies[request.policy], fingerprints=self._fingerprints
            )
