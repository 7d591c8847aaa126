"""The asyncio driver of group commit: one queue, one connection, one batch at the server at a time.

A lost answer is not a failure. The batch is sent again under its keys, which tell whether it was stored: either all
of it was or nothing, because a batch is one transaction. Only when that cannot be found out in time is the outcome
unknown.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import psycopg
import structlog

from event_store import reading
from event_store.appending import limits, wire
from event_store.appending.batching import Batcher, Queued
from event_store.appending.errors import (
    AppendError,
    EpochChanged,
    InvalidRequest,
    OutcomeUnknown,
    StoreUnavailable,
    WriterClosed,
)
from event_store.envelope import AppendRequest, Verdict
from runtime import database

log = structlog.get_logger()

ANSWER_TIMEOUT_S: Final = limits.STATEMENT_TIMEOUT_MS / 1000 + 3.0
"""A server that has not answered by then is frozen or cut off: the connection is given up."""

DRAIN_TIMEOUT_S: Final = 8.0
"""How long `close` waits for the queue to empty."""

_SESSION: Final = {
    "lock_timeout": f"{limits.LOCK_TIMEOUT_MS}ms",
    "statement_timeout": f"{limits.STATEMENT_TIMEOUT_MS}ms",
    "synchronous_commit": "on",
}


class _Ticket:
    """Who waits for a verdict, and the request as it will be sent: packed while the batch before is at the server."""

    __slots__ = ("packed", "verdict")

    packed: wire.Packed

    def __init__(self, verdict: asyncio.Future[Verdict]) -> None:
        self.verdict = verdict


_Queued = Queued[_Ticket]


class Writer:
    """Appends requests to the log, many callers' in one batch.

    Open it with `async with Writer.open(url) as writer`; every method belongs to that event loop.
    """

    def __init__(self, url: str, *, name: str) -> None:
        self._url = url
        self._name = name
        self._batcher: Batcher[_Ticket] = Batcher()
        self._wake = asyncio.Event()
        self._closing = False
        self._connection: reading.AsyncConnection | None = None
        self._epoch = 0
        self._sending = False
        self._turn_since = 0.0
        self._last_turn_s = 0.0

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, url: str, *, name: str = "writer") -> AsyncIterator["Writer"]:
        """A writer that drains its queue on leaving.

        Raises:
            StoreUnavailable: the log cannot be reached.
        """
        writer = cls(url, name=name)
        await writer._connect()
        task = asyncio.create_task(writer._run(), name=f"{name}: group commit")
        try:
            yield writer
        finally:
            await writer._close(task)

    @property
    def epoch(self) -> int:
        """The epoch that requests are sent for."""
        return self._epoch

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._batcher.queue)

    async def append(self, request: AppendRequest, *, epoch: int | None = None) -> Verdict:
        """The log's verdict on a request, once it is durable.

        `epoch` is the one in which the states were read that the request was decided on: should the log be in
        another one when the request is sent, it is not.

        Raises:
            InvalidRequest, QueueFull, WriterClosed: nothing was queued.
            StoreUnavailable, EpochChanged: nothing was stored.
            OutcomeUnknown: it may be stored; the same key tells.
        """
        return await self.submit(request, epoch=epoch)

    def submit(self, request: AppendRequest, *, epoch: int | None = None) -> asyncio.Future[Verdict]:
        """Queue a request and return at once; the future ends as `append` would. Order of calls is order in the log.

        Raises:
            InvalidRequest, QueueFull, WriterClosed: nothing was queued.
        """
        if self._closing:
            raise WriterClosed("this process is draining")
        loop = asyncio.get_running_loop()
        ticket = _Ticket(loop.create_future())
        if not (self._sending or self._batcher.queue):
            self._turn_since = loop.time()
        self._batcher.offer(request, ticket, epoch=epoch)
        ticket.packed = wire.pack(request)
        self._wake.set()
        return ticket.verdict

    def reserve(self, count: int) -> None:
        """Hold room for `count` later requests, so that work begun for them is not refused halfway.

        Raises:
            QueueFull: there is no room for all of them, or they would wait too long.
        """
        self._batcher.reserve(count, batch_s=self._turn_s())

    def require_room(self) -> None:
        """Refuse as `reserve` would.

        Raises:
            QueueFull: there is no room for one request more, or it would wait too long.
        """
        self._batcher.require(1, batch_s=self._turn_s())

    def release(self, count: int) -> None:
        """Give reserved room back, one place just before each request it was held for."""
        self._batcher.release(count)

    async def _close(self, task: asyncio.Task[None]) -> None:
        self._closing = True
        self._wake.set()
        done, _ = await asyncio.wait({task}, timeout=DRAIN_TIMEOUT_S)
        if not done:
            task.cancel()
        for queued in self._batcher.queue:
            _tell(queued.ticket, WriterClosed("this process drained before the request was sent"))
        await self._disconnect()

    async def _run(self) -> None:
        while True:
            batch, refused = self._batcher.take()
            for ticket, verdict in refused:
                _tell(ticket, verdict)
            if batch:
                await self._take_turn(batch)
            elif self._closing:
                return
            elif not refused:
                self._wake.clear()
                await self._wake.wait()

    def _turn_s(self) -> float:
        """What one batch takes: as long as the last one, or the one that is under way if that takes longer.

        A busy event loop counts too: while it does other work, no batch is sent.
        """
        if not (self._sending or self._batcher.queue):
            return self._last_turn_s
        return max(self._last_turn_s, asyncio.get_running_loop().time() - self._turn_since)

    async def _take_turn(self, batch: list[_Queued]) -> None:
        loop = asyncio.get_running_loop()
        self._sending, self._turn_since = True, loop.time()
        await self._append(batch)
        self._last_turn_s = loop.time() - self._turn_since
        self._sending, self._turn_since = False, loop.time()

    async def _append(self, batch: list[_Queued]) -> None:
        """Send a batch and tell everybody; never raises, so that one bad batch does not end the writer."""
        try:
            verdicts = await self._verdicts(batch)
        except InvalidRequest as error:
            if len(batch) == 1:
                self._fail(batch, error)
                return
            log.warning("batch_refused_by_server", requests=len(batch), reason=str(error))
            for queued in batch:
                await self._append([queued])
        except AppendError as error:
            self._fail(batch, error)
        except Exception as error:  # the outer loop of this worker: it logs, tells and goes on
            log.exception("append_failed", requests=len(batch))
            await self._disconnect()
            self._fail(batch, OutcomeUnknown(f"the writer failed: {error!r}"))
        else:
            for ticket, verdict in self._batcher.settle(batch, verdicts):
                _tell(ticket, verdict)

    def _fail(self, batch: list[_Queued], error: AppendError) -> None:
        for ticket in self._batcher.fail(batch):
            _tell(ticket, error)

    async def _verdicts(self, batch: Sequence[_Queued]) -> list[Verdict]:
        """The server's verdicts, sending again while the answer is lost and time is left."""
        packed = [queued.ticket.packed for queued in batch]
        loop = asyncio.get_running_loop()
        deadline = loop.time() + limits.RESEND_WINDOW_S
        pause, lost = limits.RESEND_PAUSE_S, False
        while True:
            try:
                if self._connection is None:
                    await self._connect()
                await self._require_epoch(batch, lost=lost)
                return await self._call(packed)
            except (StoreUnavailable, _AnswerLost) as error:
                log.warning("append_without_answer", requests=len(batch), reason=str(error))
                reason: Exception = error
                lost = lost or isinstance(error, _AnswerLost)
            if loop.time() + pause >= deadline or self._closing:
                if lost:
                    raise OutcomeUnknown(f"the answer was lost: {reason}") from reason
                raise StoreUnavailable(str(reason)) from reason
            await asyncio.sleep(pause)
            pause = min(pause * 2, limits.RESEND_PAUSE_MAX_S)

    async def _require_epoch(self, batch: Sequence[_Queued], *, lost: bool) -> None:
        """Send nothing into another epoch than it was decided in, also when a new connection brought that epoch."""
        decided_in = {queued.epoch for queued in batch if queued.epoch is not None}
        if (
            max(decided_in, default=0) > self._epoch
        ):  # a caller has seen the new epoch before this connection did
            await self._disconnect()
            await self._connect()
        for epoch in decided_in - {self._epoch}:
            if lost:
                raise OutcomeUnknown(f"the log left epoch {epoch} before it answered")
            raise EpochChanged(epoch)

    async def _call(self, packed: Sequence[wire.Packed]) -> list[Verdict]:
        assert self._connection is not None
        call = asyncio.ensure_future(self._rows(self._connection, packed))
        done, _ = await asyncio.wait({call}, timeout=ANSWER_TIMEOUT_S)
        if not done:
            self._abandon(call)
            raise _AnswerLost(f"no answer within {ANSWER_TIMEOUT_S} s")
        try:
            return wire.verdicts([each.request for each in packed], call.result())
        except psycopg.Error as error:
            raise await self._translated(error) from error

    async def _rows(
        self, connection: reading.AsyncConnection, packed: Sequence[wire.Packed]
    ) -> list[tuple[Any, ...]]:
        async with connection.cursor(binary=True) as cursor:
            await cursor.execute(wire.CALL, wire.joined(packed, epoch=self._epoch))
            return await cursor.fetchall()

    async def _translated(self, error: psycopg.Error) -> Exception:
        """What a driver's error means to those who wait. The connection is dropped where it is of no more use."""
        if error.sqlstate == wire.WRONG_EPOCH:
            known, self._epoch = self._epoch, 0
            await self._disconnect()
            return EpochChanged(known)
        if self._connection is None or self._connection.broken or self._connection.closed:
            await self._disconnect()
            return _AnswerLost(str(error).strip() or type(error).__name__)
        if isinstance(error, psycopg.DataError | psycopg.IntegrityError):
            return InvalidRequest(str(error))
        return StoreUnavailable(str(error).strip())

    def _abandon(self, call: asyncio.Future[list[tuple[Any, ...]]]) -> None:
        """Leave a frozen connection to its fate: waiting for a cancellation to be answered would freeze us too."""
        connection, self._connection = self._connection, None
        call.add_done_callback(lambda done: done.cancelled() or done.exception())
        call.cancel()
        if connection is not None:
            connection.pgconn.finish()

    async def _connect(self) -> None:
        try:
            connection = await database.connect_async(
                self._url, role="counterfoil_writer", name=self._name, settings=_SESSION
            )
        except psycopg.Error as error:
            raise StoreUnavailable(str(error).strip()) from error
        try:
            wire.register(connection)
            connection.prepare_threshold = 0
            self._epoch = (await reading.head_async(connection)).epoch
        except psycopg.Error as error:
            await connection.close()
            raise StoreUnavailable(str(error).strip()) from error
        self._connection = connection

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(psycopg.Error):
                await connection.close()


class _AnswerLost(Exception):
    """The connection ended before the verdicts came."""


def _tell(ticket: _Ticket, outcome: Verdict | AppendError) -> None:
    if ticket.verdict.done():
        return
    if isinstance(outcome, AppendError):
        ticket.verdict.set_exception(outcome)
    else:
        ticket.verdict.set_result(outcome)
