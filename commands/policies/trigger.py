"""A trigger: one event that a policy reacts to, its identity for ever, and the append its decision becomes.

The outcome's key names the policy and the trigger, the fingerprint covers the trigger alone: whatever is decided, in
whatever branch, by whichever worker, a second append for the same trigger is answered as a repeat of the first.
"""

import hashlib
import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Final

import msgspec
from msgspec import Struct

from commands.policies.policy import Decision, Policy, Reaction
from domain.event import Event
from domain.operations.events import EventSkipped
from domain.operations.skips import SKIPS
from event_store import codec
from event_store.envelope import (
    KEY_BYTES,
    NONCE_BYTES,
    AppendRequest,
    Expectation,
    Metadata,
    NewEvent,
    decode_metadata,
    encode_metadata,
)
from event_store.fingerprints import Fingerprints
from event_store.transport import Partition, Record

FAILURE_CHARACTERS_MAX: Final = 2_000
"""Characters of a failure's text that are kept for people."""


class GivenUp(Struct, frozen=True):
    """A person lets a trigger go without effect: who, and why in words."""

    actor: str
    reason: str


class Trigger(Struct):
    """One event that one policy reacts to, and what the pipeline notes about it.

    `reads` are the streams its decision reads, `event` is None when the stored payload cannot be read. `arrived`
    and `looked_up` number the pipeline's readings: after which it came, and in which its outcome was last looked
    for. `unparked`: it was parked and is tried again.
    """

    policy: str
    reaction: Reaction
    source: Partition
    partition_key: str
    position: int
    epoch: int
    stream: str
    version: int
    type: str
    event: Event | None
    reads: tuple[str, ...]
    correlation_id: str
    fingerprint: bytes
    failure: str | None = None
    arrived: int = 0
    looked_up: int = 0
    conflicts: int = 0
    read_ahead: bool = False
    unparked: bool = False
    given_up: GivenUp | None = None
    outcome_known: bool | None = None

    @property
    def causation(self) -> str:
        """The trigger's own id: `<epoch>.<position>`."""
        return f"{self.epoch}.{self.position}"

    @property
    def outcome_key(self) -> bytes:
        """The 16-byte key of its one outcome."""
        return outcome_key(self.policy, epoch=self.epoch, position=self.position)

    @property
    def parking_key(self) -> tuple[str, str]:
        """Triggers of one policy with the same partition key are decided in order, or wait behind one another."""
        return self.policy, self.partition_key


def outcome_key(policy: str, *, epoch: int, position: int) -> bytes:
    """The key under which a policy's outcome for the event at a position stands, once and for ever."""
    return hashlib.sha256(f"policy:{policy}:{epoch}.{position}".encode()).digest()[:KEY_BYTES]


def trigger_of(record: Record, *, policy: Policy, reaction: Reaction, fingerprints: Fingerprints) -> Trigger:
    """The trigger that a carried record is to a policy."""
    event: Event | None = None
    failure: str | None = None
    try:
        event = codec.decode(record.type, record.payload)
    except codec.MalformedEvent as error:
        failure = str(error)
    return Trigger(
        policy=policy.name,
        reaction=reaction,
        source=record.partition,
        partition_key=record.key,
        position=record.position,
        epoch=record.epoch,
        stream=record.stream,
        version=record.version,
        type=record.type,
        event=event,
        reads=() if event is None else reaction.reads(event),
        correlation_id=_correlation_of(record),
        fingerprint=fingerprints.of("policy", policy.name.encode(), record.leaf),
        failure=failure,
    )


def skip_of(trigger: Trigger, given_up: GivenUp, now: datetime) -> Decision:
    """What is decided about a trigger that a person gave up: that they did, as a fact of its own stream."""
    skipped = EventSkipped(
        consumer=trigger.policy,
        shape=None,
        partition_key=trigger.partition_key,
        position=trigger.position,
        actor=given_up.actor,
        reason=given_up.reason,
        skipped_at=now,
    )
    return Decision(events=((SKIPS.stream(trigger.policy), skipped),))


def request_of(
    trigger: Trigger, decision: Decision, *, expected: Mapping[str, int], chain: int, now: datetime
) -> AppendRequest:
    """The one append of a trigger: what was decided, and the exact version of every stream that was read."""
    key = trigger.outcome_key
    cause = Metadata(
        actor=f"policy:{trigger.policy}",
        command=f"{trigger.policy}.{trigger.reaction.name}",
        correlation_id=trigger.correlation_id,
        nonce=b"",
        idempotency=key.hex(),
        causation=trigger.causation,
        occurred_at=now,
    )
    return AppendRequest(
        key=key,
        fingerprint=trigger.fingerprint,
        events=_new_events(decision, cause),
        expectations=tuple(Expectation(stream, version) for stream, version in expected.items()),
        chain=chain,
    )


def _new_events(decision: Decision, cause: Metadata) -> tuple[NewEvent, ...]:
    # All nonces at once: each call asks the kernel, which costs more than the rest of an event.
    nonces = secrets.token_bytes(NONCE_BYTES * len(decision.events))
    events: list[NewEvent] = []
    for ordinal, (stream, event) in enumerate(decision.events):
        nonce = nonces[ordinal * NONCE_BYTES : (ordinal + 1) * NONCE_BYTES]
        type_name, payload = codec.encode(event)
        metadata = encode_metadata(msgspec.structs.replace(cause, nonce=nonce))
        events.append(NewEvent(stream, type_name, payload, metadata))
    return tuple(events)


def _correlation_of(record: Record) -> str:
    """The conversation the trigger belongs to; without readable metadata it starts one of its own."""
    try:
        return decode_metadata(record.metadata).correlation_id
    except msgspec.MsgspecError:
        return f"{record.epoch}.{record.position}"
