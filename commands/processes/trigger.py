"""A trigger: one event that a process reacts to, its identity for ever, and what is decided about it.

The outcome's key names the process and the trigger, the fingerprint covers the trigger alone: whatever is decided, in
whatever branch, by whichever worker, a second append for the same trigger is answered as a repeat of the first.
"""

import hashlib
from datetime import datetime
from functools import cached_property
from typing import Any

import msgspec
from msgspec import Struct

from commands.decision import Decision, DecisionView, StreamState
from commands.processes.process import EventHandler, Process
from domain.aggregate import Aggregate
from domain.event import Event
from event_store.log import codec
from event_store.log.envelope import KEY_BYTES, Metadata, RecordedEvent, decode_metadata
from event_store.log.fingerprints import Fingerprints
from runtime.actors import actor


class Undecidable(Exception):
    """A trigger that cannot be decided, whatever the states are."""


class Trigger(Struct, dict=True):
    """One event that one process reacts to, and what became of it so far; `failure`: why it can never be decided."""

    process: Process
    reaction: EventHandler
    recorded: RecordedEvent
    epoch: int
    event: Event | None = None
    reads: dict[str, Aggregate[Any]] = {}
    failure: str | None = None
    conflicts: int = 0

    @property
    def causation(self) -> str:
        """The trigger's own id: `<epoch>.<position>`."""
        return f"{self.epoch}.{self.recorded.position}"

    @cached_property
    def key(self) -> bytes:
        """The 16-byte key of its one outcome."""
        return outcome_key(self.process.name, epoch=self.epoch, position=self.recorded.position)

    def fingerprint(self, made_by: Fingerprints) -> bytes:
        """The fingerprint of the trigger; it does not depend on the decision."""
        return outcome_fingerprint(made_by, self.process.name, leaf=self.recorded.leaf)

    @property
    def parking_key(self) -> tuple[str, str]:
        """Triggers of one process with the same partition key are decided in order, or wait behind one another."""
        return self.process.name, self.recorded.key

    def prepare(self) -> None:
        """Decode the event and name the streams that its decision reads; a failure is kept for the decision."""
        if self.event is not None or self.failure is not None:
            return
        try:
            self.event = codec.decode(self.recorded.type, self.recorded.payload)
            self.reads = {
                each.stream(identifier): each for each, identifier in self.reaction.reads(self.event)
            }
        except codec.CodecError as error:
            self.failure = str(error)
        except Exception as error:  # noqa: BLE001 - whatever the failure: it parks this trigger's key, nothing else
            self.failure = f"{type(error).__name__}: {error}"

    def reads_more(self, view: DecisionView) -> bool:
        """Name the streams that follow from the states read so far; whether any of them is to be loaded first.

        Raises:
            Exception: whatever the process's own code raises.
        """
        if self.reaction.then_reads is None or self.failure is not None:
            return False
        named = {
            each.stream(identifier): each for each, identifier in self.reaction.then_reads(self.event, view)
        }
        found = not named.keys() <= self.reads.keys()
        self.reads = {**self.reads, **named}
        return found

    def first_state(self, stream: str) -> StreamState[Any] | None:
        """The state of the trigger's own stream, if it is its first event: most are decided before the next one."""
        recorded = self.recorded
        if self.event is None or recorded.version != 1 or stream != recorded.stream:
            return None
        try:
            state = self.reads[stream].evolve(None, self.event)
        except Exception:  # noqa: BLE001 - found again when the stream is loaded, and reported
            return None
        return StreamState(state=state, version=1, position=recorded.position, key=recorded.key)

    def decide(self, view: DecisionView, now: datetime) -> Decision:
        """The decision to append.

        Raises:
            Undecidable: it can never be decided.
            Exception: whatever the process's own code raises.
        """
        if self.failure is not None:
            raise Undecidable(self.failure)
        decision = self.reaction.decide(self.event, view, now)
        for aggregate, identifier, _ in decision.events:
            stream = aggregate.stream(identifier)
            if stream not in self.reads or aggregate.category not in self.process.categories:
                raise Undecidable(f"{self.reaction.name} appends to {stream} without declaring it")
        return decision

    def cause(self, now: datetime) -> Metadata:
        """The metadata of the events that it causes, but for what each has of its own."""
        caused = self._cause
        return Metadata(
            actor=actor("process", self.process.name),
            command=f"{self.process.name}.{self.reaction.name}",
            # Without readable metadata the trigger starts a conversation of its own.
            correlation_id=self.causation if caused is None else caused.correlation_id,
            nonce=b"",
            idempotency=self.key.hex(),
            causation=self.causation,
            occurred_at=now,
            on_behalf_of=None if caused is None else caused.principal,
        )

    @property
    def _cause(self) -> Metadata | None:
        """The metadata of the trigger; None: nobody can read it."""
        try:
            return decode_metadata(self.recorded.metadata)
        except msgspec.MsgspecError:
            return None


def outcome_key(process: str, *, epoch: int, position: int) -> bytes:
    """The key under which a process's outcome for the event at a position stands, once and for ever."""
    return hashlib.sha256(f"policy:{process}:{epoch}.{position}".encode()).digest()[:KEY_BYTES]


def outcome_fingerprint(made_by: Fingerprints, process: str, *, leaf: bytes) -> bytes:
    """The fingerprint under that key: of process and leaf of the event, not of the decision."""
    return made_by.of("policy", process.encode(), leaf)
