"""The driver of the policies: one active worker by lease, its pipeline, the writer, the log and the transport.

`run_policies` is for a thread of its own; while it holds the lease it runs one term on an event loop. A term ends
when the worker is to stop, the lease is lost, a generation is through, or something failed; the next term begins
from the checkpoints. Everything a term did is idempotent, so nothing of it need be undone.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from threading import Event
from typing import Final, assert_never

import psycopg
import structlog
from msgspec import Struct
from prometheus_client import CollectorRegistry

from commands.policies import loading, standing
from commands.policies.effects import Done, Effect, Park, Read, Send
from commands.policies.fulfilment import FULFILMENT
from commands.policies.intake import Intake
from commands.policies.measures import PolicyHealth, PolicyMetrics
from commands.policies.parked import Active
from commands.policies.parking import Parking
from commands.policies.pipeline import Pipeline, PolicyError
from commands.policies.policy import Policy
from commands.policies.progress import Progress
from commands.policies.restock import RESTOCK
from commands.policies.standing import AsyncConnection, NotRegistered, Standing
from commands.policies.trigger import Trigger
from event_store import fingerprints, generations, reading
from event_store.appending.errors import AppendError, EpochChanged, InvalidRequest
from event_store.appending.writer import Writer
from event_store.codec import CodecError
from event_store.envelope import Verdict
from event_store.fingerprints import Fingerprints
from event_store.generations import NoGeneration
from event_store.lease import RENEW_EVERY_S, Lease, new_owner
from event_store.transport import Fork, Transport, TransportError
from runtime import database

LEASE_NAME: Final = "policies:stock"
POLICIES: Final = (FULFILMENT, RESTOCK)
"""Policies that write the same streams share one active worker and its states."""

WAITING_TRIGGERS_MAX: Final = 1_000
"""Triggers decoded and not yet sent before the intake has to wait."""

CHECKPOINT_TRIGGERS: Final = 1_000
CHECKPOINT_S: Final = 0.25
"""A checkpoint is written after so many triggers or so long, whichever comes first: repeats are cheap, not free."""

LOOK_S: Final = 0.5
"""How often requests of persons are looked for, and the lag is measured."""

IDLE_S: Final = 0.1
"""Longest wait without looking whether to stop."""

STANDBY_WAIT_S: Final = 0.5
DRAIN_S: Final = 5.0
"""How long appends on their way may take before a stopping worker leaves them to the next one."""

BACKOFF_FIRST_S: Final = 0.2
BACKOFF_MAX_S: Final = 5.0
GOOD_TERM_S: Final = 10.0
"""A term that lasted longer than this was no failed try: the next pause is the first again."""

log = structlog.get_logger()


def run_policies(
    database_url: str,
    *,
    transport: Transport,
    stop: Event,
    registry: CollectorRegistry,
    health: PolicyHealth | None = None,
    policies: Sequence[Policy] = POLICIES,
) -> None:
    """Decide what the policies' triggers ask for until `stop` is set, then drain. Outages are retried with backoff.

    Args:
        database_url: the log's database; sessions take role counterfoil_writer.
        transport: where triggers come from.
        stop: set to drain and return.
        registry: where metrics go.
        health: what readiness shows.
        policies: those that write the same streams; they share the lease and the states.
    """
    terms = _Terms(
        database_url,
        transport=transport,
        stop=stop,
        metrics=PolicyMetrics(registry),
        health=health or PolicyHealth(),
        policies=policies,
    )
    owner = new_owner()
    while not stop.is_set():
        try:
            with database.connect(database_url, role="counterfoil_writer", name="policies lease") as conn:
                terms.serve(conn, Lease(conn, name=LEASE_NAME, owner=owner))
        except (
            psycopg.Error, TransportError, AppendError, PolicyError, CodecError, NoGeneration, NotRegistered,
        ) as error:  # fmt: skip
            terms.note_failure(error)
    terms.health.condition = "stopped"


class _Terms:
    """The loop around terms: lease, standing by, generations, backoff, and what health and metrics show."""

    def __init__(
        self,
        database_url: str,
        *,
        transport: Transport,
        stop: Event,
        metrics: PolicyMetrics,
        health: PolicyHealth,
        policies: Sequence[Policy],
    ) -> None:
        self.health = health
        self._database_url = database_url
        self._transport = transport
        self._stop = stop
        self._metrics = metrics
        self._policies = policies
        self._backoff_s = BACKOFF_FIRST_S

    def serve(self, conn: reading.Connection, lease: Lease) -> None:
        """Work while the lease is ours, stand by while it is not."""
        try:
            while not self._stop.is_set():
                if lease.hold():
                    self._serve_term(conn, lease)
                else:
                    self.health.condition = "standby"
                    self._stop.wait(STANDBY_WAIT_S)
        finally:
            self._metrics.active.set(0)
            with contextlib.suppress(psycopg.Error):  # it then runs out by itself
                lease.give_back()

    def _serve_term(self, conn: reading.Connection, lease: Lease) -> None:
        stands = standing.standing(conn, names=[policy.name for policy in self._policies])
        active = Active(LEASE_NAME, lease.owner)
        term = _Term(
            self._database_url,
            stands=stands,
            active=active,
            metrics=self._metrics,
            policies=self._policies,
        )
        log.info("policies_active", generation=stands.generation.generation, owner=lease.owner)
        self._metrics.active.set(1)
        self.health.condition, self.health.detail = "active", ""
        began_s = time.monotonic()
        try:
            through = asyncio.run(term.run(self._transport, lease, self._stop))
        finally:
            self._metrics.active.set(0)
            if time.monotonic() - began_s > GOOD_TERM_S:
                self._backoff_s = BACKOFF_FIRST_S
        if through:
            number = stands.generation.generation + 1
            following = generations.generation_numbered(conn, generation=number)
            standing.enter_next(conn, stands, next_generation=following)
            log.info("policies_entered_generation", generation=number)

    def note_failure(self, error: Exception) -> None:
        """Say plainly what is wrong, count it and wait; a fork is looked at again, it may have been fenced."""
        self._metrics.failures.labels(type(error).__name__).inc()
        fork = isinstance(error, Fork)
        self.health.condition = "fork" if fork else "retrying"
        self.health.detail = str(error)
        wait_s = BACKOFF_MAX_S if fork else self._backoff_s
        event = "policies_refuse_fork" if fork else "policies_retry"
        log.error(event, error=type(error).__name__, reason=str(error), wait_s=wait_s)
        self._backoff_s = min(self._backoff_s * 2, BACKOFF_MAX_S)
        self._stop.wait(wait_s)


class _Connections(Struct):
    """What a term talks to; `reads` and `rows` are two sessions, so that neither waits for the other."""

    writer: Writer
    reads: AsyncConnection
    rows: AsyncConnection


class _Term:
    """One term: from the checkpoints on, until told to stop or something failed."""

    def __init__(
        self,
        database_url: str,
        *,
        stands: Standing,
        active: Active,
        metrics: PolicyMetrics,
        policies: Sequence[Policy],
    ) -> None:
        self._database_url = database_url
        self._standing = stands
        self._active = active
        self._metrics = metrics
        self._policies = tuple(policies)
        self._progress = Progress(stands.starts)
        self._saved = dict(stands.starts)
        self._answers: deque[tuple[int, asyncio.Future[Verdict]]] = deque()
        self._wake = asyncio.Event()
        self._done = 0
        self._saved_at_s = time.monotonic()
        self._looked_at_s = float("-inf")
        self._conflicts = 0
        self._reading: asyncio.Task[None] | None = None

    async def run(self, transport: Transport, lease: Lease, stop: Event) -> bool:
        """Work; True when the generation is through and the next one can be entered.

        Raises:
            whatever ended the term early; what was on its way is left to the next one.
        """
        loop = asyncio.get_running_loop()
        async with self._connected() as self._on:
            made_by = await fingerprints.read_async(self._on.rows)
            await self._prepare(made_by)
            intake = Intake(
                self._database_url,
                transport=transport,
                standing=self._standing,
                policies=self._policies,
                fingerprints=made_by,
                wake=lambda: _call_soon(loop, self._wake.set),
                metrics=self._metrics.transport,
            )
            intake.start()
            renewing = asyncio.create_task(_renew(lease))
            try:
                through = await self._work(intake, renewing, stop)
                await self._drain()
                await self._save()
                return through
            finally:
                background = [task for task in (renewing, self._reading) if task is not None]
                for task in background:
                    task.cancel()
                await asyncio.gather(*background, return_exceptions=True)
                await asyncio.to_thread(intake.close)

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[_Connections]:
        async with contextlib.AsyncExitStack() as stack:
            writer = await stack.enter_async_context(Writer.open(self._database_url, name="policies"))
            sessions = [
                await stack.enter_async_context(
                    await database.connect_async(self._database_url, role="counterfoil_writer", name=name)
                )
                for name in ("policies reads", "policies rows")
            ]
            yield _Connections(writer, sessions[0], sessions[1])

    async def _prepare(self, made_by: Fingerprints) -> None:
        self._parking = Parking(
            self._on.rows,
            database_url=self._database_url,
            active=self._active,
            policies=self._policies,
            fingerprints=made_by,
        )
        head = await reading.head_async(self._on.rows)
        self._states_epoch: int | None = head.epoch
        self._pipeline = Pipeline(horizon=head.position, parked=await self._parking.counts())

    async def _work(self, intake: Intake, renewing: asyncio.Task[None], stop: Event) -> bool:
        """Take, step, carry out, until there is a reason to end."""
        while not stop.is_set() and not renewing.done():
            self._take(intake)
            self._settle_answers()
            effects = self._pipeline.step(datetime.now(UTC), at_s=time.monotonic())
            for effect in effects:
                await self._carry_out(effect)
            await self._save_when_due(intake)
            await self._look_when_due()
            if self._is_through(intake):
                return True
            if intake.failure is not None:
                raise intake.failure
            if self._reading is not None and self._reading.done():
                self._reading.result()
            await self._pause(busy=bool(effects))
        if not stop.is_set():
            renewing.result()
            log.warning("policies_lease_lost", lease=self._active.lease)
        return False

    def _take(self, intake: Intake) -> None:
        while self._pipeline.waiting < WAITING_TRIGGERS_MAX:
            portions = intake.take()
            if portions is None:
                return
            triggers: list[Trigger] = []
            for portion in portions:
                self._progress.deliver(portion)
                for arrival in portion.arrivals:
                    triggers.extend(arrival.triggers)
            if triggers:
                triggers.sort(key=_position)
                self._pipeline.deliver(triggers)

    def _is_through(self, intake: Intake) -> bool:
        """Whether the generation is read to its end and every trigger of it has an outcome."""
        if not intake.finished.is_set():
            return False
        self._take(intake)
        return not (self._pipeline.waiting or self._pipeline.in_flight or self._progress.open)

    async def _pause(self, *, busy: bool) -> None:
        """Let the writer and the readings have their turn; sleep when there is nothing to do."""
        if busy or self._answers:
            await asyncio.sleep(0)
            return
        wait_s = min(IDLE_S, self._pipeline.pause_s(time.monotonic()) or IDLE_S)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._wake.wait()
        self._wake.clear()

    async def _carry_out(self, effect: Effect) -> None:
        match effect:
            case Send():
                self._send(effect)
            case Read():
                self._reading = asyncio.create_task(self._read(effect))
            case Park():
                await self._park(effect)
            case Done():
                await self._finish(effect)
            case _:
                assert_never(effect)

    def _send(self, send: Send) -> None:
        try:
            future = self._on.writer.submit(send.request, epoch=self._states_epoch)
        except InvalidRequest as error:
            self._pipeline.unfit(send.number, str(error))
        except AppendError as error:
            log.warning("policies_append_postponed", error=type(error).__name__, reason=str(error))
            self._pipeline.failed(send.number, at_s=time.monotonic())
        else:
            future.add_done_callback(lambda answer: self._answered(send.number, answer))

    def _answered(self, number: int, answer: asyncio.Future[Verdict]) -> None:
        answer.exception()  # seen: a term that ended meanwhile will not look at it again
        self._answers.append((number, answer))
        self._wake.set()

    def _settle_answers(self) -> None:
        while self._answers:
            number, answer = self._answers.popleft()
            at_s = time.monotonic()
            try:
                verdict = answer.result()
            except InvalidRequest as error:
                self._pipeline.unfit(number, str(error))
            except EpochChanged as error:
                log.warning("policies_epoch_changed", known=error.known)
                self._states_epoch = None
                self._pipeline.failed(number, at_s=at_s, epoch_changed=True)
            except AppendError as error:
                log.warning("policies_append_postponed", error=type(error).__name__, reason=str(error))
                self._pipeline.failed(number, at_s=at_s)
            else:
                self._pipeline.answered(number, verdict, at_s=at_s)
        self._metrics.conflicts.inc(self._pipeline.conflicts - self._conflicts)
        self._conflicts = self._pipeline.conflicts

    async def _read(self, read: Read) -> None:
        if self._states_epoch is None:
            # Before the states: should the log leave this epoch behind them, what is decided on them is refused.
            self._states_epoch = (await reading.head_async(self._on.reads)).epoch
        async for page in loading.facts_after(self._on.reads, read.after):
            self._pipeline.page(read.number, page)
        # Outcomes last: whatever of an outcome the facts show, its key is known by now.
        outcomes = await loading.known_outcomes(self._on.reads, read.keys)
        self._pipeline.taken(read.number, outcomes=outcomes)
        self._wake.set()

    async def _park(self, park: Park) -> None:
        await self._parking.park(park.trigger, park.failure)
        if park.failure is not None:
            self._metrics.parkings.labels(park.trigger.policy).inc()
        if not park.trigger.unparked:
            self._progress.done(park.trigger)

    async def _finish(self, done: Done) -> None:
        self._metrics.triggers.labels(done.trigger.policy, done.outcome).inc()
        self._done += 1
        if done.trigger.unparked:
            await self._parking.finished(done.trigger)
        else:
            self._progress.done(done.trigger)

    async def _save_when_due(self, intake: Intake) -> None:
        age_s = time.monotonic() - self._saved_at_s
        if self._done >= CHECKPOINT_TRIGGERS or age_s >= CHECKPOINT_S:
            await self._save()
            intake.hint({source: mark.position for source, mark in self._saved.items()})

    async def _save(self) -> None:
        reached = self._progress.reached()
        moved = {source: mark for source, mark in reached.items() if mark != self._saved.get(source)}
        if moved:
            await standing.move(
                self._on.rows,
                self._standing,
                moved,
                lease=self._active.lease,
                owner=self._active.owner,
            )
            self._saved.update(moved)
        self._done = 0
        self._saved_at_s = time.monotonic()

    async def _look_when_due(self) -> None:
        """Do what persons asked for, and show where the policies stand."""
        now_s = time.monotonic()
        if now_s - self._looked_at_s < LOOK_S:
            return
        self._looked_at_s = now_s
        await self._parking.carry_out_requests(self._pipeline)
        for policy in await standing.positions_async(self._on.rows):
            self._metrics.lag.labels(policy.name).set(policy.lag_events)
            self._metrics.parked.labels(policy.name).set(policy.parked)
        self._metrics.in_flight.set(self._pipeline.in_flight)
        self._metrics.waiting.set(self._pipeline.waiting)

    async def _drain(self) -> None:
        """Wait for the appends on their way; nothing new is decided."""
        self._pipeline.stop_deciding()
        deadline_s = time.monotonic() + DRAIN_S
        while self._pipeline.in_flight and time.monotonic() < deadline_s:
            self._settle_answers()
            for effect in self._pipeline.step(datetime.now(UTC), at_s=time.monotonic()):
                await self._carry_out(effect)
            await self._pause(busy=False)


def _position(trigger: Trigger) -> int:
    return trigger.position


async def _renew(lease: Lease) -> None:
    """Keep the lease; return when it is lost."""
    while await asyncio.to_thread(lease.hold):  # noqa: ASYNC110 - the row changes elsewhere
        await asyncio.sleep(RENEW_EVERY_S / 2)


def _call_soon(loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
    """Call back on the loop from another thread; a loop that is gone needs no call."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(callback)
