"""Executing what operators asked for parked keys, between two batches, by the worker that feeds the partition."""

from collections.abc import Iterator, Sequence
from typing import Final

import structlog

from event_store.consumers import parking, skips
from event_store.consumers.parking import Request
from event_store.log import reading
from event_store.log.decoding import Decoder
from event_store.transport.partitioning import partition_of
from event_store.transport.transport import Numbering, Partition
from projections import catching_up, checkpoints
from projections.checkpoints import Move
from projections.folding import DecodedEvent
from projections.mirroring import Mirror
from projections.performing import Performer
from projections.step import BuildBatch, Following, Plan, ProjectionStep, commit, plans_of
from projections.storing import BuildId, Connection
from projections.view import GLOBAL

REQUESTS_PER_CHECK: Final = 20
"""Requests executed between two batches."""

log = structlog.get_logger()


class RetryRequests:
    """Requests of operators, for the partitions of one worker."""

    def __init__(
        self, conn: Connection, *, numbering: Numbering, decoder: Decoder, mirror: Mirror | None
    ) -> None:
        self._conn = conn
        self._numbering = numbering
        self._decoder = decoder
        self._mirror = mirror

    def execute(self, followings: Sequence[Following], performer: Performer) -> Iterator[list[Plan]]:
        """Execute what is pending and ours, each in a transaction of its own; what was committed.

        Raises:
            CheckpointConflict: another worker was here; the request stays pending.
        """
        executed = 0
        for request in parking.pending(self._conn, {each.build.view for each in followings}):
            concerned = [each for each in followings if self._concerns(request, each)]
            if not concerned:
                self._close_if_idle(request, followings)
                continue
            if executed == REQUESTS_PER_CHECK:
                return
            executed += 1
            if request.kind == "skip" and not self._learn_skip(request, followings):
                outcome = parking.not_skipped(request)
                parking.close(self._conn, request.request, outcome=outcome)
                continue
            outcomes = []
            for following in concerned:
                if not self._withdrawn(following, request):
                    break
                plans = performer.run(self._go_on(following, request))
                yield plans
                outcomes.append(_outcome(following, request, plans))
            else:
                parking.close(self._conn, request.request, outcome="; ".join(outcomes))
                log.info("parked_key_request", kind=request.kind, view=request.consumer, outcomes=outcomes)

    def _concerns(self, request: Request, following: Following) -> bool:
        return (
            (following.view.name, following.view.shape) == (request.consumer, request.shape)
            and request.partition_key in following.parked
            and self._source(request) in following.cursors
        )

    def _source(self, request: Request) -> Partition:
        """Where the key is carried now, which may be another partition than when it was parked."""
        return partition_of(request.partition_key, self._numbering.partitions)

    def _close_if_idle(self, request: Request, followings: Sequence[Following]) -> None:
        """Nobody can act on a key that is parked nowhere, or in a build left behind: say so instead of waiting."""
        stand = parking.of_key(self._conn, request.consumer, request.partition_key)
        parked = {each.scope for each in stand if each.shape == request.shape}
        if not parked:
            parking.close(self._conn, request.request, outcome="nothing to do: the key is not parked")
        ours = [each.build for each in followings if each.build.scope in parked]
        if ours and all(self._left_behind(build) for build in ours):
            outcome = "refused: the build stopped in an earlier generation of the transport; rebuild the view"
            parking.close(self._conn, request.request, outcome=outcome)

    def _left_behind(self, build: BuildId) -> bool:
        known = checkpoints.generations(self._conn, build)
        return bool(known) and known[-1] < self._numbering.generation

    def _learn_skip(self, request: Request, followings: Sequence[Following]) -> bool:
        """Read the skips of the view again, for each of its builds; whether this one is among them."""
        learned = False
        for following in followings:
            if (following.view.name, following.view.shape) == (request.consumer, request.shape):
                following.skips = skips.read(self._conn, following.view.name, shape=following.view.shape)
                learned = request.position in following.skips
        return learned

    def _withdrawn(self, following: Following, request: Request) -> bool:
        """Rows will change at positions the documents have passed: their checkpoint goes back first."""
        if self._mirror is None or following.view.document is None:
            return True
        return self._mirror.withdraw(following, self._source(request))

    def _go_on(self, following: Following, request: Request) -> ProjectionStep:
        source = self._source(request)
        cursor = following.cursors[source]
        stay = Move(following.build, source, cursor, cursor.position, cursor.leaf)
        if following.view.kind is GLOBAL:
            return (yield from _resume(following, stay, request))
        decoded_events = self._waiting(following, request, upto=cursor.position)
        batch = BuildBatch(
            following, moves=[stay], decoded_events={source: decoded_events}, unparking=request.partition_key
        )
        return (yield from commit([batch], (yield from plans_of([batch]))))

    def _waiting(self, following: Following, request: Request, *, upto: int) -> list[DecodedEvent]:
        """The event at which the key stands, and those that wait behind it, from the log."""
        stand = parking.of_key(self._conn, request.consumer, request.partition_key)
        (parked,) = [each for each in stand if each.scope == following.build.scope]
        decoded_events: list[DecodedEvent] = []
        after = parked.position - 1
        while page := reading.read_key(self._conn, request.partition_key, after=after, upto=upto):
            decoded_events += [
                catching_up.decode(event, decoder=self._decoder)
                for event in page
                if self._decoder.wants(event.type)
            ]
            after = page[-1].position
        return decoded_events


def _resume(following: Following, stay: Move, request: Request) -> ProjectionStep:
    """A global view goes on where it halted: what waits comes from the log with the next pages."""
    plan = Plan(
        following=following,
        moves=[stay],
        rows={},
        parked={},
        queued={},
        stopped=None,
        applied=0,
        unparked=request.partition_key,
    )
    return (yield from commit([], [plan]))


def _outcome(following: Following, request: Request, plans: Sequence[Plan]) -> str:
    applied = sum(plan.applied for plan in plans)
    again = [
        plan.parked[request.partition_key].reason for plan in plans if request.partition_key in plan.parked
    ]
    if again:
        return f"{following.build}: parked again after {applied} events: {again[0]}"
    return f"{following.build}: continued with {applied} events"
