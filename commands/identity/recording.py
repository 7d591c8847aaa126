"""Events of identity that no idempotency key of a caller stands behind: each has a key of its own and comes once."""

import contextlib
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, TypeVar

from msgspec import Struct

from commands.calls import Call, key_digest
from commands.decision import Decision, DecisionView
from commands.execution import Caller, Execution
from domain.aggregate import Aggregate
from domain.event import Event
from event_store.log.fingerprints import Fingerprints

S = TypeVar("S")

SCOPE = "system:identity"


class By(Struct, frozen=True):
    """Who caused something, and in which request."""

    actor: str
    correlation_id: str


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
    ) -> None:
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
            await caller.execute(aggregate, identifier, decide, creates=creates)

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
