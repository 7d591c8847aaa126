"""The sender of a gateway: it tails the log for intents, has each carried out, and records the answer as a command.

Whatever happens, the outside does at most one thing for each key, and nothing for an intent whose answer is recorded:

- the key is the business's, so a log that was restored asks under the same key as the one that was lost;
- before it is asked to do something, the outside is asked what it has done under the key, also the first time: it may
  remember what this log does not;
- silence, and whatever else is no answer, is asked about again, with growing pauses, and never recorded;
- the answer is recorded under a key that follows from the same key: once, by whichever sender;
- the checkpoint passes an intent when its answer is recorded, or its partition key is parked.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, cast

import structlog
from msgspec import Struct
from pydantic import SecretStr

from commands import refusals
from commands.calls import Call
from commands.decision import DecisionView
from commands.execution import Caller
from commands.gateways.gateway import Effect, Gateway, NoAnswer, Port
from commands.gateways.metrics import GatewayMetrics
from commands.log_access import Aside, opened
from commands.log_reading import LogUnreachable
from domain import event as domain_event
from domain.event import Event
from event_store.consumers import backlog
from event_store.consumers.backlog import Backlog
from event_store.consumers.backoff import Backoff
from event_store.consumers.driver import Consumer, ConsumerSession
from event_store.consumers.errors import OpenAgain
from event_store.consumers.starting import ORIGIN
from event_store.consumers.tailing import Outdated
from event_store.log import codec, fingerprints, reading
from event_store.log.envelope import RecordedEvent, decode_metadata
from event_store.transport import generations
from runtime.actors import actor
from runtime.problems import ProblemError
from runtime.settings import PREFIX, Settings

IN_FLIGHT_MAX: Final = 16
"""Calls at a time."""

OPEN_MAX: Final = 1_000
"""Intents without an answer that are kept; while so many wait no more are read."""

PARKED_MAX: Final = 100
"""Parked keys, behind which no more intents are read: more likely the gateway is wrong than so many intents."""

RETRY_FIRST_S: Final = 0.2
RETRY_MAX_S: Final = 60.0
"""First and longest pause after a call without an answer."""

WAIT_S: Final = 0.1
"""How long a round waits for an answer, so that the lease is kept and a stop is seen meanwhile."""

CLOSING_S: Final = 1.0
"""How long calls in flight may take when the sender ends."""

CHECK_EVERY_S: Final = 0.5
"""How often the log's state is read."""

READERS: Final = 2
"""Connections of its pool for loading states."""

_ANSWERED: Final = "select key from log.outcome where key = any(%s)"

log = structlog.get_logger()


class _Sending(Struct):
    """One intent on its way, and what is known of it."""

    effect: Effect
    recorded: RecordedEvent
    intent: Event
    identifier: str
    key: str
    call: Call
    pauses: Backoff
    answer: object | None = None
    """An answer of the outside that is not recorded yet."""
    tries: int = 0
    not_before_s: float = 0.0


def consumer(gateway: Gateway, settings: Settings, *, metrics: GatewayMetrics) -> Consumer:
    """The consumer of a configured gateway."""
    return Consumer(
        name=gateway.sender,
        role="counterfoil_writer",
        open=lambda session: Sender(session, gateway, settings, metrics=metrics),
        lease=f"sender:{gateway.name}",
        settings=backlog.SESSION,
        outages=(LogUnreachable, Outdated),
    )


class Sender:
    """The sender of a gateway at work, from taking the lease on. One thread, one event loop that runs in each round."""

    def __init__(
        self, session: ConsumerSession, gateway: Gateway, settings: Settings, *, metrics: GatewayMetrics
    ) -> None:
        """Go on from the checkpoint, at the log's first event if it is new: an intent is never too old.

        An installation that began as a copy of another sends only where the settings say that the gateways are its own:
        settings that were copied with it lead to what the original uses, and its keys are unknown there.

        Raises:
            OpenAgain: it sends nothing.
            Fork: the log does not hold the event at the checkpoint.
        """
        self._session, self._conn, self._gateway, self._metrics = session, session.conn, gateway, metrics
        self._name = gateway.sender
        self._effects = {domain_event.type_name(effect.intent): effect for effect in gateway.effects}
        self._epoch = reading.head(self._conn).epoch
        self._installation = reading.history(self._conn).installation
        if reading.is_copy(self._conn) and settings.gateways_of != self._installation:
            raise OpenAgain(
                f"this installation is a copy: set {PREFIX}GATEWAYS_OF={self._installation}"
                f" once {gateway.name} is not what the original uses"
            )
        self._epochs = generations.epochs(self._conn)
        self._fingerprints = fingerprints.read(self._conn)
        self._backlog = Backlog(session, self._name, types=self._effects, start=ORIGIN, keys_max=PARKED_MAX)
        self._open: dict[int, _Sending] = {}
        self._running: dict[asyncio.Task[None], _Sending] = {}
        self._checked_at_s = float("-inf")
        port = gateway.opened(settings.model_copy(update={"database_url": SecretStr(session.database_url)}))
        assert port is not None, f"{gateway.name} is not configured"
        self._aside = Aside()
        self._port: Port = self._aside.open(port)
        self._on = self._aside.open(
            opened(session.database_url, role="counterfoil_writer", name=self._name, readers=READERS)
        )

    def round(self) -> int:
        """Read intents, have some carried out, note what came of them; 0 when nothing is on its way or to be read.

        Raises:
            OpenAgain: the log is in another epoch, or another process was here.
            Outdated: an intent is newer than this program.
            psycopg.Error, LogUnreachable: start a new session.
        """
        takers = [self._backlog] if len(self._open) < OPEN_MAX else []
        tail = backlog.read(self._conn, takers, stems=self._backlog.stems)
        if tail.epoch != self._epoch:
            raise OpenAgain("the log was fenced: it is another one")
        self._take(self._backlog.take_retries(tail.head))
        self._take(self._backlog.take(tail))
        if self._open or self._running:
            for task in self._aside.run(self._progress()):
                self._settle(self._running.pop(task), task.exception())
        self._backlog.save()
        self._show()
        return bool(self._running) or (self._backlog.progress.read < tail.head and not self._backlog.full)

    def close(self) -> None:
        """Wait a moment for what is in flight, and leave the rest: who takes over asks what came of it.

        Not every gateway can be asked: what ends now is not in doubt later.
        """
        try:
            self._aside.close(grace_s=CLOSING_S)
        finally:
            self._metrics.left(self._gateway.name)
            self._session.metrics.left(self._name)

    # The event loop's side.

    async def _progress(self) -> Iterable[asyncio.Task[None]]:
        """Begin what is due, and wait a little for something to end."""
        now_s = time.monotonic()
        in_flight = {each.recorded.position for each in self._running.values()}
        for position, sending in self._open.items():
            if len(self._running) >= IN_FLIGHT_MAX:
                break
            if sending.not_before_s <= now_s and position not in in_flight:
                self._running[self._aside.begin(self._carry_out(sending))] = sending
        if now_s - self._checked_at_s >= CHECK_EVERY_S:
            await self._on.poller.poll()  # it says whether the log answers
            self._checked_at_s = now_s
        return await self._aside.ended(within_s=WAIT_S)

    async def _carry_out(self, sending: _Sending) -> None:
        """The story of an intent, once through.

        Raises:
            NoAnswer, ProblemError, LogUnreachable: it is recorded later, from where it stopped.
            Exception: sending it again would change nothing.
        """
        # 1. Ask what came of it: an answer may have been lost, or the log that remembered it.
        if sending.answer is None:
            sending.answer = await self._called("find", self._port.find, sending)
        # 2. Nothing did: have it done.
        if sending.answer is None:
            sending.answer = await self._called("ask", self._port.ask, sending)
        # 3. Record the answer. A key that has an outcome already takes no other.
        answer, now = sending.answer, datetime.now(UTC)

        def decide(state: Any, _view: DecisionView) -> list[Event]:
            return [*sending.effect.record(state, sending.intent, answer, now)]

        (slot,) = self._on.execution.reserve(1)
        try:
            caller = Caller(self._on.execution, call=sending.call, slot=slot, now=now)
            await caller.execute(sending.effect.aggregate, sending.identifier, decide)
        finally:
            slot.free()

    async def _called(self, name: str, call: Callable[[str, Event], Any], sending: _Sending) -> object | None:
        count = self._metrics.calls.labels
        try:
            answer = await call(sending.key, sending.intent)
        except Exception as error:
            count(self._gateway.name, name, type(error).__name__).inc()
            raise
        count(self._gateway.name, name, "nothing" if answer is None else type(answer).__name__).inc()
        return cast("object | None", answer)

    # The thread's side.

    def _take(self, page: Sequence[RecordedEvent]) -> None:
        """Have these intents carried out, except those that have an answer."""
        found: list[_Sending] = []
        for event in page:
            if event.position not in self._backlog.progress.open:
                continue  # it waits behind one that was parked just now
            try:
                found.append(self._sending(event))
            except Exception as error:  # noqa: BLE001 - whatever the failure: it parks this intent's key, nothing else
                self._park(event, error)
        keys = [sending.call.key for sending in found]
        answered = {key for (key,) in self._conn.execute(_ANSWERED, [keys]).fetchall()} if keys else set()
        for sending in found:
            if sending.call.key in answered:
                self._backlog.done(sending.recorded)
            else:
                self._open[sending.recorded.position] = sending

    def _sending(self, event: RecordedEvent) -> _Sending:
        """The request of an intent, and its two keys, which do not depend on the position."""
        intent = codec.decode(event.type, event.payload)
        effect = self._effects[domain_event.type_name(intent)]
        identifier, _ = effect.concerns(intent)
        key = self._gateway.key(effect, intent, installation=self._installation)
        cause = decode_metadata(event.metadata)
        call = Call(
            command=f"{self._name}.{effect.step}",
            key=self._gateway.outcome_key(key),
            fingerprint=self._fingerprints.of("effect", key.encode()),
            correlation_id=cause.correlation_id,
            actor=actor("sender", self._gateway.name),
            causation=f"{self._epochs.at(event.position)}.{event.position}",
            on_behalf_of=cause.principal,
        )
        return _Sending(
            effect,
            event,
            intent,
            identifier,
            key,
            call,
            Backoff(first_s=RETRY_FIRST_S, longest_s=RETRY_MAX_S),
        )

    def _settle(self, sending: _Sending, error: BaseException | None) -> None:
        """Note what came of an attempt."""
        if error is not None and _may_pass(error):
            self._postpone(sending, error)
        elif error is not None:
            self._park(sending.recorded, error)
        else:
            self._open.pop(sending.recorded.position, None)
            self._backlog.done(sending.recorded)

    def _postpone(self, sending: _Sending, error: BaseException) -> None:
        wait_s = max(sending.pauses.after_failure(), error.wait_s if isinstance(error, NoAnswer) else 0.0)
        sending.tries += 1
        sending.not_before_s = time.monotonic() + wait_s
        log.warning(
            "intent_unanswered",
            gateway=self._gateway.name,
            position=sending.recorded.position,
            reason=str(error),
            tries=sending.tries,
            wait_s=round(wait_s, 3),
        )

    def _park(self, event: RecordedEvent, error: BaseException) -> None:
        """Park the key of an intent. What is in flight behind it ends, and is found to have its answer later."""
        self._backlog.park(event, f"{type(error).__name__}: {error}")
        self._open = {at: each for at, each in self._open.items() if at in self._backlog.progress.open}

    def _show(self) -> None:
        oldest = min((each.recorded.recorded_at for each in self._open.values()), default=None)
        waited_s = 0.0 if oldest is None else (datetime.now(UTC) - oldest).total_seconds()
        self._metrics.oldest.labels(self._gateway.name).set(waited_s)
        self._metrics.in_flight.labels(self._gateway.name).set(len(self._running))


def _may_pass(error: BaseException) -> bool:
    """Whether the same may go well another time: nothing is wrong with the intent."""
    if isinstance(error, ProblemError):
        return refusals.may_pass(error)
    return isinstance(error, NoAnswer | LogUnreachable)
