"""Events of identity that no idempotency key of a caller stands behind: each has a key of its own and comes once."""

import contextlib
from collections.abc import Callable, Coroutine, Iterator
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from msgspec import Struct

from commands.calls import Call, key_digest
from commands.decision import Decision, DecisionView
from commands.execution import Caller, Execution
from commands.recording import Answer
from domain.aggregate import Aggregate
from domain.event import Event
from event_store.log.fingerprints import Fingerprints
from runtime.actors import actor

S = TypeVar("S")

SCOPE = actor("system", "identity")
"""Whose keys these are, and who acts where nobody asked."""


class By(Struct, frozen=True):
    """Who caused something, and in which request."""

    actor: str
    correlation_id: str


def by_system(correlation_id: str) -> By:
    """Identity itself, in a request or because of a stream."""
    return By(SCOPE, correlation_id)


class Recorder(Struct, frozen=True):
    """Appends what was decided about accounts and sessions."""

    execution: Execution
    fingerprints: Fingerprints
    clock: Callable[[], datetime]

    async def record(
        self,
        aggregate: Aggregate[S],
        identifier: str,
        decide: "Callable[[S | None, DecisionView], Decision | list[Event] | Any]",
        *,
        command: str,
        by: By,
        creates: bool = False,
    ) -> Answer:
        """Append a decision once for each command and id.

        Raises:
            ProblemError: it is refused, or the log cannot be reached.
        """
        key = f"{command} {identifier}"
        call = Call(
            command=command,
            key=key_digest(SCOPE, key),
            fingerprint=self.fingerprints.of("identity", key.encode()),
            correlation_id=by.correlation_id,
            actor=by.actor,
        )
        with self.caller(call) as caller:
            return await caller.execute(aggregate, identifier, decide, creates=creates)

    def creating(self, command: str, *, by: By) -> "Callable[..., Coroutine[Any, Any, Answer]]":
        """`record` of one command that makes a stream."""
        return partial(self.record, command=command, by=by, creates=True)

    @contextlib.contextmanager
    def caller(self, call: Call) -> Iterator[Caller]:
        """Carries out one command.

        Raises:
            ProblemError: too many wait.
        """
        [slot] = self.execution.reserve(1)
        try:
            yield Caller(self.execution, call=call, slot=slot, now=self.clock())
        finally:
            slot.free()
