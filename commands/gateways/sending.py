"""The sender of a gateway: it tails the log for intents, has each carried out, and records the answer as a command.

Whatever happens, the outside does at most one thing for each key, and nothing for an intent whose answer is recorded:

- the key is the business's, so a log that was restored asks under the same key as the one that was lost;
- before it is asked to do something, the outside is asked what it has done under the key, also the first time: it may
  remember what this log does not;
- silence, and whatever else is no answer, is asked about again, with growing pauses, and never recorded;
- the answer is recorded under a key that follows from the same key: once, whoever records it;
- the checkpoint passes an intent when its answer is recorded, or its partition key is parked.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, cast

import structlog
from msgspec import Struct

from commands import refusals
from commands.calls import Call
from commands.decision import View
from commands.execution import Caller
from commands.gateways.gateway import Effect, Gateway, NoAnswer, Port
from commands.gateways.measures import GatewayMetrics
from commands.log_reading import LogUnreachable
from commands.opening import opened
from domain import event as domain_event
from domain.event import Event
from event_store.consumers import checkpoints, parking, skips
from event_store.consumers.checkpoints import Mark
from event_store.consumers.driver import Consumer, Session
from event_store.consumers.errors import OpenAgain
from event_store.consumers.parking import Active, Failure, Request, Scope, Waiting
from event_store.consumers.starting import ORIGIN
from event_store.consumers.tailing import Outdated
from event_store.log import fingerprints, paging, reading
from event_store.log.codec import MalformedEvent, UnknownEventVersion
from event_store.log.decoding import Decoder
from event_store.log.envelope import RecordedEvent, decode_metadata
from event_store.transport import generations
from runtime.problems import ProblemError
from runtime.settings import Settings

IN_FLIGHT_MAX: Final = 16
"""Calls at a time."""

OPEN_MAX: Final = 1_000
"""Intents without an answer that are kept; while so many wait no more are read."""

PARKED_MAX: Final = 100
"""Parked keys, behind which no more intents are read: more likely the gateway is wrong than so many intents."""

INTENTS_PER_PAGE: Final = 100
POSITIONS_PER_PAGE: Final = 50_000
"""Intents, and positions, that one reading of the log looks through at most."""

RETRY_FIRST_S: Final = 0.2
RETRY_MAX_S: Final = 60.0
DOUBLINGS_MAX: Final = 16
"""First and longest pause after a call without an answer; doubled each time, with jitter."""

WAIT_S: Final = 0.1
"""How long a round waits for an answer, so that the lease is kept and a stop is seen meanwhile."""

CHECKPOINT_S: Final = 0.25
LOOK_EVERY_S: Final = 0.5
"""How often the checkpoint is written; how often requests of operators are read and the log's standing is looked at."""

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
    answer: object | None = None
    """What the outside said, until it is recorded."""
    tries: int = 0
    not_before_s: float = 0.0


def consumer(gateway: Gateway, settings: Settings, *, metrics: GatewayMetrics) -> Consumer:
    """What the driver runs for a gateway that is configured."""
    return Consumer(
        name=gateway.sender,
        role="counterfoil_writer",
        open=lambda session: Sender(session, gateway, settings, metrics=metrics),
        lease=f"sender:{gateway.name}",
        outages=(LogUnreachable,),
    )


class Sender:
    """The sender of a gateway at work, from taking the lease on. One thread, one event loop that runs in each round."""

    def __init__(
        self, session: Session, gateway: Gateway, settings: Settings, *, metrics: GatewayMetrics
    ) -> None:
        """Go on from the checkpoint, at the log's first event if it is new: an intent is never too old.

        Raises:
            Fork: the log does not hold the event at the checkpoint.
        """
        assert session.lease is not None, "one process at a time sends for a gateway"
        self._session, self._conn, self._gateway, self._metrics = session, session.conn, gateway, metrics
        self._name = gateway.sender
        self._active = Active(session.lease.name, session.lease.owner)
        self._scope = Scope(self._name)
        self._effects = {domain_event.type_name(effect.intent): effect for effect in gateway.effects}
        self._decoder = Decoder(self._effects)
        with self._conn.transaction():
            self._saved = checkpoints.enter(self._conn, self._name, start=ORIGIN).mark
        self._read_upto = self._saved.position
        self._epoch = reading.head(self._conn).epoch
        self._installation = reading.history(self._conn).installation
        self._epochs = generations.epochs(self._conn)
        self._fingerprints = fingerprints.read(self._conn)
        self._skipped = skips.read(self._conn, self._name, shape=None)
        self._parked = set(parking.of_scope(self._conn, self._scope))
        self._retried: dict[str, int] = {}
        """Parked keys that are carried out again, with the request to do so."""
        self._open: dict[int, _Sending] = {}
        self._running: dict[asyncio.Task[None], _Sending] = {}
        self._saved_at_s = self._looked_at_s = float("-inf")
        self._chance = random.Random()
        self._runner = asyncio.Runner()
        self._closing = contextlib.AsyncExitStack()
        try:
            self._runner.run(self._connect(settings))
        except BaseException:
            self.close()
            raise

    def round(self) -> bool:
        """Read intents, have some carried out, note what came of them; whether there may be more to do at once.

        Raises:
            OpenAgain: another process was here.
            Outdated: an intent is newer than this program.
            psycopg.Error, LogUnreachable: start a new session.
        """
        head = reading.head(self._conn).position
        self._look(head)
        read = self._read(head)
        self._runner.run(self._progress())
        for task in [task for task in self._running if task.done()]:
            self._settle(self._running.pop(task), task.exception())
        self._save()
        return read or bool(self._running)

    def close(self) -> None:
        """Leave what is in flight: whoever takes over asks what came of it."""
        try:
            self._runner.run(self._disconnect())
        finally:
            self._runner.close()
            self._metrics.left(self._gateway.name)

    # The event loop's side.

    async def _connect(self, settings: Settings) -> None:
        port = self._gateway.opened(settings)
        assert port is not None, f"{self._gateway.name} is not configured"
        self._port: Port = await self._closing.enter_async_context(port)
        opening = opened(
            self._session.database_url, role="counterfoil_writer", name=self._name, readers=READERS
        )
        on = await self._closing.enter_async_context(opening)
        self._execution, self._watch = on.execution, on.watch

    async def _disconnect(self) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        await self._closing.aclose()

    async def _progress(self) -> None:
        """Begin what is due, and wait a little for something to end."""
        now_s = time.monotonic()
        in_flight = {each.recorded.position for each in self._running.values()}
        for position, sending in self._open.items():
            if len(self._running) >= IN_FLIGHT_MAX:
                break
            if sending.not_before_s <= now_s and position not in in_flight:
                self._running[asyncio.create_task(self._carry_out(sending))] = sending
        self._metrics.in_flight.labels(self._gateway.name).set(len(self._running))
        if self._running:
            await asyncio.wait(self._running, timeout=WAIT_S, return_when=asyncio.FIRST_COMPLETED)

    async def _carry_out(self, sending: _Sending) -> None:
        """The story of an intent, once through.

        Raises:
            NoAnswer, ProblemError, LogUnreachable: it is told again, from where it stopped.
            Exception: telling it again would change nothing.
        """
        # 1. Ask what came of it: an answer may have been lost, or the log that remembered it.
        if sending.answer is None:
            sending.answer = await self._called("find", self._port.find, sending)
        # 2. Nothing did: have it done.
        if sending.answer is None:
            sending.answer = await self._called("ask", self._port.ask, sending)
        # 3. Record the answer. A key that has an outcome already takes no other.
        answer, now = sending.answer, datetime.now(UTC)

        def decide(state: Any, _view: View) -> list[Event]:
            return [*sending.effect.record(state, sending.intent, answer, now)]

        (slot,) = self._execution.reserve(1)
        try:
            caller = Caller(self._execution, call=sending.call, slot=slot, now=now)
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

    def _read(self, head: int) -> bool:
        """Take the next intents; whether there may be more."""
        upto = min(head, self._read_upto + POSITIONS_PER_PAGE)
        if upto <= self._read_upto or len(self._open) >= OPEN_MAX or len(self._parked) >= PARKED_MAX:
            return False
        page = paging.page_after(
            self._conn, self._read_upto, upto=upto, types=self._decoder.types, rows_max=INTENTS_PER_PAGE
        )
        self._take([event for event in page if self._wants(event)])
        self._read_upto = paging.reached_by(page, upto=upto, rows_max=INTENTS_PER_PAGE)
        return self._read_upto < head

    def _take(self, page: list[RecordedEvent]) -> None:
        """Have these intents carried out, except those that have an answer, or wait behind one that is parked."""
        found: list[_Sending] = []
        for event in page:
            if event.key in self._parked and event.key not in self._retried:
                waiting = {event.key: Waiting(1, event.position)}
                parking.queue(self._conn, self._scope, waiting, active=self._active)
                continue
            try:
                found.append(self._sending(event))
            except UnknownEventVersion as error:
                raise Outdated(str(error)) from error
            except Exception as error:  # noqa: BLE001 - whatever the failure: it parks this intent's key, nothing else
                self._park(event, error)
        keys = [sending.call.key for sending in found]
        answered = {key for (key,) in self._conn.execute(_ANSWERED, [keys]).fetchall()}
        for sending in found:
            if sending.call.key not in answered:
                self._open[sending.recorded.position] = sending

    def _sending(self, event: RecordedEvent) -> _Sending:
        """What an intent asks for, and the two keys that follow from what it says, never from where it stands."""
        intent = self._decoder.decode(event.type, event.payload, position=event.position, stream=event.stream)
        if isinstance(intent, MalformedEvent):
            raise intent
        effect = self._effects[domain_event.type_name(intent)]
        identifier, _ = effect.concerns(intent)
        key = self._gateway.key(effect, intent, installation=self._installation)
        call = Call(
            command=f"{self._name}.{effect.step}",
            key=self._gateway.outcome_key(key),
            fingerprint=self._fingerprints.of("effect", key.encode()),
            correlation_id=decode_metadata(event.metadata).correlation_id,
            actor=self._name,
            causation=f"{self._epochs.at(event.position)}.{event.position}",
        )
        return _Sending(effect, event, intent, identifier, key, call)

    def _settle(self, sending: _Sending, error: BaseException | None) -> None:
        """Note what came of an attempt."""
        if error is not None and _may_pass(error):
            self._postpone(sending, error)
            return
        del self._open[sending.recorded.position]
        if error is not None:
            self._park(sending.recorded, error)
        elif sending.recorded.key in self._retried:
            self._unpark_if_done(sending.recorded.key)

    def _postpone(self, sending: _Sending, error: BaseException) -> None:
        doubled_s = RETRY_FIRST_S * 2 ** min(sending.tries, DOUBLINGS_MAX)
        pause_s = min(doubled_s, RETRY_MAX_S) * self._chance.uniform(0.5, 1.0)
        wait_s = max(pause_s, error.wait_s if isinstance(error, NoAnswer) else 0.0)
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
        reason = f"{type(error).__name__}: {error}"
        failure = Failure(event.key, event.position, event.stream, event.version, event.type, reason)
        parking.park(self._conn, self._scope, failure, active=self._active)
        self._parked.add(event.key)
        if (request := self._retried.pop(event.key, None)) is not None:
            parking.close(self._conn, request, outcome=f"failed again: {reason}")
        if len(self._parked) >= PARKED_MAX:
            log.error("sender_full", gateway=self._gateway.name, parked_keys=len(self._parked))
        log.error("intent_parked", gateway=self._gateway.name, position=event.position, reason=reason)

    def _save(self) -> None:
        """Move the checkpoint up to just before the first intent without an answer."""
        reached = min(self._open, default=self._read_upto + 1) - 1
        now_s = time.monotonic()
        if reached == self._saved.position or now_s - self._saved_at_s < CHECKPOINT_S:
            return
        self._move(reached)
        self._saved_at_s = now_s

    def _move(self, position: int) -> None:
        mark = Mark(position, reading.leaf_at(self._conn, position) if position else None)
        with self._conn.transaction():
            checkpoints.hold(self._conn, self._name, self._saved, active=self._active)
            checkpoints.move(self._conn, self._name, mark)
        self._saved = mark

    def _look(self, head: int) -> None:
        """Now and then: requests of operators, the log's standing, what is shown."""
        if time.monotonic() - self._looked_at_s < LOOK_EVERY_S:
            return
        for request in parking.pending(self._conn, [self._name]):
            self._carry_out_request(request)
        if self._runner.run(self._watch.look()).epoch != self._epoch:
            raise OpenAgain("the log was fenced: it is another one")
        oldest = min((each.recorded.recorded_at for each in self._open.values()), default=None)
        waited_s = 0.0 if oldest is None else (datetime.now(UTC) - oldest).total_seconds()
        self._metrics.oldest.labels(self._gateway.name).set(waited_s)
        self._session.metrics.stands(
            self._name, lag_events=max(0, head - self._saved.position), parked_keys=len(self._parked)
        )
        self._looked_at_s = time.monotonic()

    def _carry_out_request(self, request: Request) -> None:
        """Have the intents of a parked key carried out again; the row stays until all of them have their answer."""
        key = request.partition_key
        if key in self._retried:
            return
        parked = parking.of_scope(self._conn, self._scope).get(key)
        outcome = parking.objection(request, parked, skipped=self._learned_skips)
        if parked is None or outcome:
            parking.close(self._conn, request.request, outcome=outcome)
            return
        self._retried[key] = request.request
        waiting = reading.read_key(self._conn, key, after=parked.position - 1, upto=parked.last_position)
        self._take([event for event in waiting if self._wants(event)])
        self._unpark_if_done(key)

    def _learned_skips(self) -> frozenset[int]:
        self._skipped = skips.read(self._conn, self._name, shape=None)
        return self._skipped

    def _unpark_if_done(self, key: str) -> None:
        if key in self._retried and not any(each.recorded.key == key for each in self._open.values()):
            parking.unpark(self._conn, self._scope, key)
            parking.close(self._conn, self._retried.pop(key), outcome="done")
            self._parked.discard(key)

    def _wants(self, event: RecordedEvent) -> bool:
        return self._decoder.wants(event.type) and event.position not in self._skipped


def _may_pass(error: BaseException) -> bool:
    """Whether the same may go well another time: nothing is wrong with the intent."""
    if isinstance(error, ProblemError):
        return refusals.may_pass(error)
    return isinstance(error, NoAnswer | LogUnreachable)
