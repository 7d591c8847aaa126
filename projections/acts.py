"""Carrying out operators' acts: each once, in the order of the log, with a row that tells what came of it.

An act is an event. What can be done at once is done in the transaction that writes its row and moves the checkpoint: a
promotion, a roll back, a drop, a request to the owner of a parked key. A rebuild goes on for as long as it takes, a
batch a round, and acts that come meanwhile do not wait for its end. A promotion waits a while for the workers: the live
build may have passed an event, such as that of the promotion, which the other one has not.
"""

import functools
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, Final, Literal, cast

import structlog
from msgspec import Struct

from domain import event as domain_event
from domain.event import Event
from domain.operations.events import (
    DropRequested,
    EventSkipped,
    PauseRequested,
    PromotionRequested,
    RebuildRequested,
    ResumeRequested,
    RetryRequested,
    RollbackRequested,
)
from event_store.consumers import checkpoints, parking, pausing
from event_store.consumers.checkpoints import Mark
from event_store.consumers.driver import Consumer, ConsumerSession, Waits
from event_store.consumers.parking import Active
from event_store.consumers.starting import ORIGIN
from event_store.log import codec, paging, reading
from event_store.log.codec import UnknownEventVersion
from event_store.log.decoding import stem
from event_store.log.envelope import RecordedEvent
from projections import builds, rebuild
from projections.errors import BuildBehind, NoSuchBuild, ProjectionError
from projections.performing import SESSION
from projections.rebuild import Progress
from projections.storing import BuildId
from projections.view import View
from runtime.documents import Documents, DocumentsUnavailable

NAME: Final = "acts"
LEASE: Final = "acts"

EVERY_S: Final = 0.5
"""Pause between two rounds while there is nothing to do."""
POSITIONS_PER_PAGE: Final = 50_000
ACTS_PER_PAGE: Final = 20
"""Positions looked through, and acts carried out, in one round."""
SAVE_EVERY: Final = 10_000
"""Positions without an act after which the checkpoint is moved: what is looked through again after a crash is cheap."""
SAVED_AFTER_S: Final = 5.0
"""Until it is moved over fewer: status shows how far it is, and an operator waits until nothing lags."""

PROMOTION_WAIT_S: Final = 30.0
"""How long a promotion, or a roll back, waits until its build is where the live one is."""

REMEDY: Final = (
    "see in `counterfoil status` whether a projection worker runs and how far it is, then promote again"
)

AT_ONCE: Final = Waits().backlog
"""The result of a round that the next one follows without a wait."""

KINDS: Final[Mapping[type[Event], str]] = {
    RebuildRequested: "rebuild",
    PromotionRequested: "promotion",
    RollbackRequested: "rollback",
    DropRequested: "drop",
    RetryRequested: "retry",
    EventSkipped: "skip",
    PauseRequested: "pause",
    ResumeRequested: "resume",
}

PAUSED: Final = "paused by an operator"
"""The reason why the builds of a paused view are stopped."""

State = Literal["running", "done", "failed"]

_KNOWN: Final = "select leaf from consumers.act where position = %(position)s"
_ADD: Final = """
insert into consumers.act (position, leaf, kind, subject, shape, build, state, outcome, ended_at)
values (%(position)s, %(leaf)s, %(kind)s, %(subject)s, %(shape)s, %(build)s, %(state)s, %(outcome)s,
    case when %(state)s <> 'running' then clock_timestamp() end)
on conflict (position) do update set leaf = excluded.leaf, kind = excluded.kind, subject = excluded.subject,
    shape = excluded.shape, build = excluded.build, state = excluded.state, outcome = excluded.outcome,
    begun_at = clock_timestamp(), ended_at = excluded.ended_at
"""
_REBUILDS: Final = """
select subject, shape, build from consumers.act where state = 'running' and kind = 'rebuild' order by position limit 1
"""
_END_REBUILDS: Final = """
update consumers.act set state = %(state)s, outcome = %(outcome)s, ended_at = clock_timestamp()
where state = 'running' and kind = 'rebuild'
    and (subject, shape, build) = (%(subject)s, %(shape)s, %(build)s)
"""
_PROMOTIONS: Final = """
select position, subject, shape, build, clock_timestamp() - begun_at > make_interval(secs => %(wait_s)s)
from consumers.act where state = 'running' and kind in ('promotion', 'rollback') order by position
"""
_END_PROMOTION: Final = """
update consumers.act set state = %(state)s, outcome = %(outcome)s, ended_at = clock_timestamp()
where position = %(position)s and state = 'running'
"""
# By where the key stands then, whatever the words of its owner are.
_END_REQUESTS: Final = """
update consumers.act a set state = case when r.stands then 'failed' else 'done' end, outcome = r.outcome,
    ended_at = clock_timestamp()
from (
    select q.act, string_agg(q.outcome, '; ' order by q.request) as outcome, bool_or(exists (
        select from consumers.parked p
        where (p.consumer, p.shape, p.partition_key, p.position)
            = (q.consumer, q.shape, q.partition_key, q.position)
    )) as stands
    from consumers.request q join consumers.act b on b.position = q.act and b.state = 'running'
    group by q.act having bool_and(q.executed_at is not null)
) r
where a.position = r.act
"""
_NOW: Final = """
select h.position, exists (select from consumers.act a where a.state = 'running') from log.head h
"""

log = structlog.get_logger()


class Came(Struct, frozen=True):
    """The outcome of an act so far, as text, and its build."""

    state: State
    outcome: str = ""
    build: BuildId | None = None


def consumer(
    views: Sequence[View[Any]], *, documents: Documents | None, every_s: float = EVERY_S
) -> Consumer:
    """The consumer that carries acts out; `documents` are those of the views, None for none."""
    return Consumer(
        name=NAME,
        role="counterfoil_projector",
        open=lambda session: Acts(session, views, documents=documents),
        lease=LEASE,
        waits=Waits(first_s=every_s, longest_s=every_s, unhinted_s=every_s, pace_s=0.0),
        settings=SESSION,
        pausable=False,
    )


class Acts:
    """Acts at work, from taking the lease on. One thread."""

    def __init__(
        self,
        session: ConsumerSession,
        views: Sequence[View[Any]],
        *,
        documents: Documents | None,
    ) -> None:
        """Go on from the checkpoint, and with the rebuild that was under way.

        Raises:
            Fork: the log does not hold the event at the checkpoint.
        """
        assert session.lease is not None, "one process at a time carries acts out"
        self._conn, self._url, self._metrics = session.conn, session.database_url, session.metrics
        self._active = Active(session.lease.name, session.lease.owner)
        self._views = {(view.name, view.shape): view for view in views}
        self._newest = {view.name: view for view in sorted(views, key=lambda view: view.shape)}
        self._documents = documents
        self._types = {name for event in KINDS for name in domain_event.type_names_of(event)}
        self._stems = sorted({stem(name) for name in self._types})
        self._folding: tuple[BuildId, Generator[Progress]] | None = None
        with self._conn.transaction():
            self._saved = checkpoints.enter(self._conn, NAME, start=ORIGIN).mark
        self._read = self._saved.position
        self._saved_at = time.monotonic()

    def round(self) -> int:
        """Carry out the acts that are new, and a batch of the rebuild that runs; 0 when there was nothing to do.

        Raises:
            OpenAgain: another process was here.
            psycopg.Error: start a new session.
        """
        head, running = cast("tuple[int, bool]", self._conn.execute(_NOW).fetchone())
        taken = self._take(head)
        if running or taken:
            self._conn.execute(_END_REQUESTS)
            self._promote()
        self._metrics.stands(NAME, lag_events=max(0, head - self._read), parked_keys=0)
        folded = self._fold() if running or taken else False
        return AT_ONCE if folded or self._read < head else taken

    def close(self) -> None:
        """Leave the rebuild where it is, and show nothing any more."""
        self._stop_folding()
        self._metrics.left(NAME)

    def _take(self, head: int) -> int:
        """Carry out the acts of one page of the log; how many there were."""
        upto = min(head, self._read + POSITIONS_PER_PAGE)
        if upto <= self._read:
            self._save()
            return 0
        page = paging.page_after(self._conn, self._read, upto=upto, stems=self._stems, rows_max=ACTS_PER_PAGE)
        acts = [event for event in page if event.type in self._types]
        for event in acts:
            self._carry_out(event)
        self._read = paging.reached_by(page, upto=upto, rows_max=ACTS_PER_PAGE)
        self._save()
        return len(acts)

    def _save(self) -> None:
        """Move the checkpoint over what had no acts, if that is much or was read a while ago."""
        unsaved, since_s = self._read - self._saved.position, time.monotonic() - self._saved_at
        if unsaved >= SAVE_EVERY or (unsaved and since_s >= SAVED_AFTER_S):
            with self._conn.transaction():
                checkpoints.hold(self._conn, NAME, self._saved, active=self._active)
                self._move(Mark(self._read, reading.leaf_at(self._conn, self._read)))

    def _carry_out(self, event: RecordedEvent) -> None:
        """Carry an act out, in one transaction with its row; nothing if it has one."""
        act = codec.decode(event.type, event.payload)
        with self._conn.transaction():
            checkpoints.hold(self._conn, NAME, self._saved, active=self._active)
            known = self._conn.execute(_KNOWN, {"position": event.position}).fetchone()
            if known != (event.leaf,):
                self._note(event, act, self._came_of(lambda: self._do(event, act)))
            self._move(Mark(event.position, event.leaf))

    def _move(self, to: Mark) -> None:
        checkpoints.move(self._conn, NAME, to)
        self._saved, self._saved_at = to, time.monotonic()

    def _came_of(self, do: Callable[[], Came]) -> Came:
        try:
            with self._conn.transaction():
                return do()
        except ProjectionError as refused:
            return Came("failed", str(refused))

    def _do(self, event: RecordedEvent, act: Event) -> Came:
        match act:
            case RebuildRequested(view=name):
                build = rebuild.begun(self._conn, self._view(name))
                builds.set_stopped(self._conn, build, None)
                return Came("running", build=build)
            case PromotionRequested() | RollbackRequested():
                return self._let_answer(BuildId(act.view, act.shape, act.build))
            case DropRequested():
                return self._drop(BuildId(act.view, act.shape, act.build))
            case EventSkipped() | RetryRequested():
                return self._request(event, act)
            case PauseRequested(consumer=name):
                pausing.pause(self._conn, name, act=event.position)
                self._stop_builds(name, PAUSED)
                return Came("done", f"{name} is paused")
            case ResumeRequested(consumer=name):
                pausing.resume(self._conn, name)
                self._stop_builds(name, None)
                return Came("done", f"{name} goes on")
        raise AssertionError(f"{act!r} is no act")

    def _stop_builds(self, view: str, reason: str | None) -> None:
        """Stop the builds of a view for a pause, or resume those that a pause stopped."""
        before = PAUSED if reason is None else None
        for each in builds.listed(self._conn):
            if (each.id.view, each.stopped) == (view, before):
                builds.set_stopped(self._conn, each.id, reason)

    def _let_answer(self, build: BuildId) -> Came:
        try:
            rebuild.let_answer(self._conn, self._view(build.view, shape=build.shape), build)
        except BuildBehind as behind:
            waits = f"waits until the workers have brought {build} from {behind.position} to {behind.live}"
            return Came("running", waits, build)
        return Came("done", f"{build} answers", build)

    def _promote(self) -> None:
        """Make builds live whose promotions waited for the workers; a promotion that waited too long fails."""
        for row in self._conn.execute(_PROMOTIONS, {"wait_s": PROMOTION_WAIT_S}).fetchall():
            position, subject, shape, number, is_late = cast("tuple[int, str, int, int, bool]", row)
            build = BuildId(subject, shape, number)
            with self._conn.transaction():
                checkpoints.hold(self._conn, NAME, self._saved, active=self._active)
                came = self._came_of(functools.partial(self._let_answer, build))
                if came.state == "running" and is_late:
                    came = Came(
                        "failed", f"{came.outcome}; {PROMOTION_WAIT_S:.0f} s were not enough: {REMEDY}"
                    )
                if came.state != "running":
                    given = {"position": position, "state": came.state, "outcome": came.outcome}
                    self._conn.execute(_END_PROMOTION, given)
                    log.info("promotion_ended", build=str(build), state=came.state, outcome=came.outcome)

    def _drop(self, build: BuildId) -> Came:
        view = self._view(build.view, shape=build.shape)
        rebuild.remove(self._conn, view, build)
        try:
            # Before the commit: should that fail, documents that are missing are read from the table.
            rebuild.forget(self._conn, view, build, self._documents)
        except DocumentsUnavailable as error:
            log.warning("documents_not_removed", build=str(build), reason=str(error))
        return Came("done", f"{build} is gone", build)

    def _request(self, event: RecordedEvent, act: EventSkipped | RetryRequested) -> Came:
        """Ask the owner of a parked key, for each shape in which it is parked."""
        keys = parking.of_key(self._conn, act.consumer, act.partition_key)
        if isinstance(act, EventSkipped):
            keys = [each for each in keys if (each.shape or None, each.position) == (act.shape, act.position)]
        for key in {key.shape: key for key in keys}.values():
            kind: parking.Kind = "skip" if isinstance(act, EventSkipped) else "retry"
            parking.ask(self._conn, kind, key, actor=act.actor, note=act.reason, act=event.position)
        return Came("running") if keys else Came("done", "nothing to do: the key is not parked")

    def _note(self, event: RecordedEvent, act: Event, came: Came) -> None:
        subject = getattr(act, "view", None) or act.consumer  # type: ignore[attr-defined]
        self._conn.execute(
            _ADD,
            {
                "position": event.position,
                "leaf": event.leaf,
                "kind": KINDS[type(act)],
                "subject": subject,
                "shape": came.build and came.build.shape,
                "build": came.build and came.build.build,
                "state": came.state,
                "outcome": came.outcome,
            },
        )
        log.info("act_taken", kind=KINDS[type(act)], subject=subject, state=came.state, outcome=came.outcome)

    def _view(self, name: str, *, shape: int | None = None) -> View[Any]:
        view = self._newest.get(name) if shape is None else self._views.get((name, shape))
        if view is None:
            raise NoSuchBuild(f"no context declares the view {name}{f' in shape {shape}' if shape else ''}")
        return view

    # The rebuild that runs: the oldest one that was asked for.

    def _fold(self) -> bool:
        """Fold one more batch, or see whether the workers have taken the build over; whether it is to go on at once."""
        row = self._conn.execute(_REBUILDS).fetchone()
        if row is None:
            self._stop_folding()
            return False
        build = BuildId(*cast("tuple[str, int, int]", row))
        try:
            return self._go_on(build)
        except (ProjectionError, UnknownEventVersion) as failed:
            self._end(build, "failed", str(failed))
            return True

    def _go_on(self, build: BuildId) -> bool:
        if builds.found(self._conn, build).state == "folding":
            if self._folding is None or self._folding[0] != build:
                self._stop_folding()
                self._folding = (
                    build,
                    rebuild.fold(self._url, self._view(build.view, shape=build.shape), build),
                )
            next(self._folding[1], None)
            return True
        self._stop_folding()
        reached, target = rebuild.reached(self._conn, self._view(build.view, shape=build.shape), build)
        if reached < target:
            return False
        self._end(build, "done", f"{build} is where the live build is")
        return True

    def _end(self, build: BuildId, state: State, outcome: str) -> None:
        self._stop_folding()
        given = {"subject": build.view, "shape": build.shape, "build": build.build}
        self._conn.execute(_END_REBUILDS, {**given, "state": state, "outcome": outcome})
        log.info("rebuild_ended", build=str(build), state=state, outcome=outcome)

    def _stop_folding(self) -> None:
        if self._folding is not None:
            self._folding[1].close()
            self._folding = None
