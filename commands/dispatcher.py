"""The command dispatcher: a command, alone or in a batch, becomes a call with key and fingerprint."""

import inspect
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, get_type_hints

import structlog
from msgspec import Struct
from prometheus_client import CollectorRegistry

from commands import payloads
from commands.answers import ResourceLocations
from commands.authority import authority_of
from commands.calls import Call, SeenAt, fingerprint, key_digest
from commands.execution import Caller, Execution, Slot
from commands.payloads import Payload
from commands.personal_data import NOT_CONFIGURED, PersonalData
from commands.premises import BARE, Premises
from commands.recording import Answer
from commands.request_parts import valid_key
from commands.settling import Settled, Settling
from domain.ids import MalformedId, validate_id
from event_store.log.fingerprints import Fingerprints
from runtime import problems
from runtime.http.preferences import Preferences
from runtime.http.principal import Principal, Requirement
from runtime.problems import Fault, ProblemError
from runtime.telemetry import Tally

log = structlog.get_logger()

Clock = Callable[[], datetime]
Endpoint = Callable[..., Awaitable[Answer]]


class Command(Struct, frozen=True):
    """One command: its name is the endpoint's, its payload the type of `body`, its target the other parameter."""

    name: str
    endpoint: Endpoint
    payload: type[Payload]
    target: str | None
    requires: Requirement

    @classmethod
    def of(cls, endpoint: Endpoint) -> "Command":
        """The command that an endpoint (target, body, caller) carries out."""
        parameters = list(inspect.signature(endpoint).parameters)
        others = [name for name in parameters if name not in {"body", "caller"}]
        assert len(others) <= 1, f"{endpoint.__name__} has more than one target"
        return cls(
            endpoint.__name__,
            endpoint,
            get_type_hints(endpoint)["body"],
            others[0] if others else None,
            endpoint.requires,  # type: ignore[attr-defined]  # declared before
        )


class Sent(Struct, frozen=True):
    """One command as it was sent: raw key, target and body."""

    key: str | None
    target: str | None
    body: bytes
    if_match: int | SeenAt | None
    correlation_id: str
    principal: Principal


class Dispatcher:
    """Executes commands and counts their results.

    `locations` say where the query API shows what a command was about.
    """

    def __init__(
        self,
        execution: Execution,
        *,
        fingerprints: Fingerprints,
        settling: Settling,
        locations: ResourceLocations,
        clock: Clock,
        registry: CollectorRegistry,
        personal: PersonalData = NOT_CONFIGURED,
        premises: Premises = BARE,
    ) -> None:
        self._fingerprints = fingerprints
        self._personal = personal
        self._premises = premises
        self._clock = clock
        self._answered = Tally(
            "counterfoil_commands",
            "Commands answered, by what was answered: accepted, replayed, or the problem's code.",
            ["command", "answer"],
            registry=registry,
        )
        self._settling = settling
        self.execution = execution
        self.locations = locations

    async def take(self, command: Command, sent: Sent, *, slot: Slot) -> Answer:
        """Carry one command out.

        Raises:
            ProblemError: it cannot be read, is refused, or cannot be answered at the moment.
        """
        try:
            answer = await self._carried_out(command, sent, slot)
        except ProblemError as problem:
            self._answered.add(command.name, problem.type.slug)
            if problem.status >= 500:  # a refusal is an answer; this is for operators
                log.warning("command_not_carried_out", command=command.name, problem=problem.type.slug)
            raise
        finally:
            slot.free()
        self._answered.add(command.name, "replayed" if answer.replayed else "accepted")
        return answer

    async def settled(self, sent: Sent, preferred: Preferences) -> Settled:
        """The effects of an accepted command, once it is settled or the preferred time is over.

        It is recorded, whatever happens here: a log that does not answer now only leaves open what came of it.
        """
        key = key_digest(sent.principal.actor, valid_key(sent.key))
        return await self._settling.settled(key, preferred)

    async def _carried_out(self, command: Command, sent: Sent, slot: Slot) -> Answer:
        key, principal = valid_key(sent.key), sent.principal
        arguments: dict[str, Any] = {}
        if command.target is not None:
            arguments[command.target] = _valid_target(command.target, sent.target)
        body, spelled = payloads.read_canonical(command.payload, sent.body)
        call = Call(
            command=command.name,
            key=key_digest(principal.actor, key),
            fingerprint=fingerprint(
                self._fingerprints,
                key,
                command=command.name,
                target=sent.target,
                canonical=spelled,
            ),
            correlation_id=sent.correlation_id,
            if_match=sent.if_match,
            actor=principal.actor,
            on_behalf_of=principal.on_behalf_of,
            authority=authority_of(principal, command.requires),
        )
        caller = Caller(
            self.execution,
            call=call,
            slot=slot,
            now=self._clock(),
            fingerprints=self._fingerprints,
            personal=self._personal,
            premises=self._premises,
        )
        return await command.endpoint(**arguments, body=body, caller=caller)


def _valid_target(name: str, given: str | None) -> str:
    if given is None:
        raise problems.invalid([Fault(detail="The command needs a target", parameter=name)])
    try:
        return validate_id(given)
    except MalformedId as refusal:
        raise problems.invalid([Fault(detail=str(refusal).rstrip("."), parameter=name)]) from refusal
