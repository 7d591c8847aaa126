"""Performing the effects of a step against Postgres: load, commit, probe."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from msgspec import Struct
from psycopg import errors

from event_store.consumers import parking
from event_store.consumers.parking import Failure, Waiting
from projections import builds
from projections.checkpoints import SharedCheckpoints, announce
from projections.errors import CheckpointConflict
from projections.folding import TRIES_MAX, Poison, Versioned, reason_of
from projections.step import Commit, Effect, Load, Plan, Probe, ProjectionStep, RowsRefused
from projections.storing import Connection, Table
from projections.view import Key

SESSION: Final = {
    # A worker that stalls inside a transaction must not hold rows for longer than this.
    "idle_in_transaction_session_timeout": "5s",
    # Rows and their checkpoint are in one transaction and so in one order of the write-ahead log: a crash of the
    # server takes back the last transactions whole, and the worker folds those events again from the log, which
    # itself is always flushed. So waiting for the disk would buy nothing here.
    "synchronous_commit": "off",
    "statement_timeout": "60s",
    "lock_timeout": "10s",
    "jit": "off",
}
"""Server settings of a projection worker's session."""

_REFUSALS: Final = (
    errors.DataError,  # out of range, NUL in text, …
    errors.IntegrityError,  # a row without a value it needs
    errors.ProgramLimitExceeded,  # a key too long for an index
    UnicodeError,
    OverflowError,
)


class MovedPlans(Struct, frozen=True):
    """How far builds are, moved inside the transaction that writes their rows.

    `check` is called before the commit, once the answers are there, and raises when another was here; `committed`
    when the transaction is through.
    """

    check: Callable[[], None]
    committed: Callable[[], None]


MovePlans = Callable[[Sequence[Plan]], MovedPlans]


class Performer:
    """Performs effects on one connection."""

    def __init__(self, conn: Connection, move: MovePlans) -> None:
        """`move` moves how far the builds of plans are."""
        self._conn = conn
        self._move = move

    def run(self, step: ProjectionStep) -> list[Plan]:
        """Drive a step to its end; what was committed.

        Raises:
            CheckpointConflict: somebody else wrote a build; nothing was committed.
            psycopg.OperationalError: the database is gone; whether the commit happened is not known.
        """
        answer: Any = None
        refused: RowsRefused | None = None
        while True:
            try:
                effect = step.send(answer) if refused is None else step.throw(refused)
            except StopIteration as done:
                committed: list[Plan] = done.value
                return committed
            answer, refused = None, None
            try:
                answer = self.perform(effect)
            except RowsRefused as error:
                refused = error

    def perform(self, effect: Effect) -> Any:
        """Perform one effect."""
        try:
            match effect:
                case Load(wanted):
                    return self._load(wanted)
                case Commit(plans):
                    return self._commit(plans)
                case Probe(table, rows):
                    return self._probe(table, rows)
        except errors.UndefinedTable as error:
            raise CheckpointConflict("a build was dropped meanwhile") from error

    def _load(self, wanted: Sequence[tuple[Table, set[Key]]]) -> list[dict[Key, Versioned]]:
        """All rows in one round trip."""
        with self._conn.pipeline():
            asked = [table.ask(self._conn, keys) for table, keys in wanted]
        return [table.answered(cursors) for (table, _), cursors in zip(wanted, asked, strict=True)]

    def _commit(self, plans: Sequence[Plan]) -> None:
        """All statements in one round trip, and the commit in another, once their answers were checked."""
        with self._conn.pipeline() as pipeline, self._conn.transaction():
            # Checkpoints first: a worker that lost its partition waits here, then finds that it did.
            moved = self._move(plans)
            try:
                for plan in plans:
                    plan.following.table.write(self._conn, plan.rows)
                pipeline.sync()
            except _REFUSALS as error:
                raise RowsRefused(reason_of(error)) from error
            moved.check()
            for plan in plans:
                if plan.notes:
                    self._note(plan)
        moved.committed()

    def _note(self, plan: Plan) -> None:
        scope = plan.build.scope
        if plan.unparked is not None:
            parking.unpark(self._conn, scope, plan.unparked)
        for key, poison in plan.parked.items():
            parking.park(self._conn, scope, _failure(key, poison, plan.queued.get(key, Waiting())))
        parking.queue(self._conn, scope, plan.queued)  # not again for keys parked just now: they know how far
        if plan.stopped != plan.following.stopped:
            builds.set_stopped(self._conn, plan.build, plan.stopped)

    def _probe(self, table: Table, rows: dict[Key, Versioned]) -> str | None:
        try:
            with self._conn.transaction(force_rollback=True):
                table.write(self._conn, rows)
        except _REFUSALS as error:
            return reason_of(error)
        return None


def moving(conn: Connection, checkpoints: SharedCheckpoints) -> MovePlans:
    """Moves checkpoints: those of builds that stand together at once, each other by itself."""

    def move(plans: Sequence[Plan]) -> MovedPlans:
        pending = checkpoints.pending(move for plan in plans for move in plan.moves)
        for plan in plans:
            apart, noted = plan.stopped is not None, plan.notes
            plan.moves = [pending.place(move, apart=apart, noted=noted) for move in plan.moves]
        announce(conn)
        return MovedPlans(
            check=checkpoints.move(conn, pending), committed=partial(checkpoints.moved, pending)
        )

    return move


def _failure(partition_key: str, poison: Poison, waiting: Waiting) -> Failure:
    decoded = poison.decoded
    return Failure(
        partition_key,
        position=decoded.position,
        stream=decoded.stream,
        version=decoded.version,
        type=decoded.type,
        reason=poison.reason,
        tries=TRIES_MAX,
        queued=waiting.events,
        last_position=waiting.last_position,
    )
