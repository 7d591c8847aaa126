"""The asyncio driver of group commit: one queue, one connection, up to two batches at the server."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from typing import Final, cast

import psycopg
import structlog

from event_store.log import reading
from event_store.log.appending import limits, wire
from event_store.log.appending.batching import Batcher, Queued
from event_store.log.appending.errors import (
    AppendError,
    EpochChanged,
    InvalidRequest,
    OutcomeUnknown,
    StoreUnavailable,
    WriterClosed,
)
from event_store.log.appending.pipelined import AnswerLost, PipelinedConnection, Rows
from event_store.log.envelope import Accepted, AppendRequest, Verdict
from event_store.log.hints import LogHints
from runtime import database

log = structlog.get_logger()

ANSWER_TIMEOUT_S: Final = limits.STATEMENT_TIMEOUT_MS / 1000 + 3.0
"""A server that has not answered by then is frozen or cut off: the connection is given up."""

IN_FLIGHT_MAX: Final = 2
"""Batches at the server: it executes one while this process handles the answers to the other and makes the next.

A third would only wait.
"""

DRAIN_TIMEOUT_S: Final = 8.0
"""How long `close` waits for the queue to empty."""

_SESSION: Final = {
    "lock_timeout": f"{limits.LOCK_TIMEOUT_MS}ms",
    "statement_timeout": f"{limits.STATEMENT_TIMEOUT_MS}ms",
    "synchronous_commit": "on",
}


class _Ticket:
    """The future of a verdict, and the request as it will be sent: packed while the batch before is at the server."""

    __slots__ = ("packed", "verdict")

    packed: wire.Packed

    def __init__(self, verdict: asyncio.Future[Verdict]) -> None:
        self.verdict = verdict


_Queued = Queued[_Ticket]


class _InFlight:
    """A batch from when it is sent until every caller has its answer."""

    __slots__ = ("answer", "batch", "began", "task")

    task: asyncio.Task[None]

    def __init__(self, batch: list[_Queued], *, began: float) -> None:
        self.batch = batch
        self.began = began
        self.answer: asyncio.Future[Rows] | None = None


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
        self._connection: PipelinedConnection | None = None
        self._epoch = 0
        self._in_flight: deque[_InFlight] = deque()
        self._troubled = 0
        self._busy_since = 0.0
        self._last_batch_s = 0.0
        self._hints = LogHints(url, name=name)

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
        """Queue a request and return at once; the future ends as `append` would.

        Order of calls is order in the log, unless the server refuses a batch for one request's sake: its others are
        sent again behind the batch that is at the server by then. A chain keeps its order always.

        Raises:
            InvalidRequest, QueueFull, WriterClosed: nothing was queued.
        """
        if self._closing:
            raise WriterClosed("this process is draining")
        loop = asyncio.get_running_loop()
        ticket = _Ticket(loop.create_future())
        if not (self._in_flight or self._batcher.queue):
            self._busy_since = loop.time()
        self._batcher.offer(request, ticket, epoch=epoch)
        ticket.packed = wire.pack(request)
        in_flight = self._overlapping()
        if in_flight is not None and self._batcher.ready(in_flight):
            self._wake.set()
        return ticket.verdict

    async def append_chain(
        self, requests: Iterable[AppendRequest], *, epoch: int
    ) -> list[Verdict | AppendError]:
        """The outcomes of the requests of a chain, in order; the first that is not accepted refuses the rest."""
        answers: list[Verdict | AppendError | asyncio.Future[Verdict]] = []
        for request in requests:
            try:
                answers.append(self.submit(request, epoch=epoch))
            except AppendError as error:
                answers.append(error)
        for ordinal, answer in enumerate(answers):
            if isinstance(answer, asyncio.Future):
                try:
                    answers[ordinal] = await answer
                except AppendError as error:
                    answers[ordinal] = error
        return cast("list[Verdict | AppendError]", answers)

    def reserve(self, count: int) -> None:
        """Hold room for `count` later requests, so that work begun for them is not refused halfway.

        Raises:
            QueueFull: there is no room for all of them, or they would wait too long.
        """
        self._batcher.reserve(count, batch_s=self._batch_s())

    def require_room(self) -> None:
        """Refuse as `reserve` would.

        Raises:
            QueueFull: there is no room for one request more, or it would wait too long.
        """
        self._batcher.require(1, batch_s=self._batch_s())

    def release(self, count: int) -> None:
        """Give reserved room back, one place just before each request it was held for."""
        self._batcher.release(count)

    async def _close(self, task: asyncio.Task[None]) -> None:
        self._closing = True
        self._wake.set()
        done, _ = await asyncio.wait({task}, timeout=DRAIN_TIMEOUT_S)
        if not done:
            task.cancel()
        for sent in tuple(self._in_flight):
            sent.task.cancel()
            if sent.answer is not None:
                sent.answer.cancel()
            self._fail(sent.batch, OutcomeUnknown("this process drained before the answer came"))
        for queued in self._batcher.queue:
            _resolve(queued.ticket, WriterClosed("this process drained before the request was sent"))
        await self._disconnect()
        await asyncio.to_thread(self._hints.close)

    async def _run(self) -> None:
        while True:
            in_flight = self._overlapping()
            batch, refused = ([], []) if in_flight is None else self._batcher.take(in_flight=in_flight)
            for ticket, verdict in refused:
                _resolve(ticket, verdict)
            if batch:
                self._send(batch)
            elif self._closing and not (self._in_flight or self._batcher.queue):
                return
            elif not refused:
                self._wake.clear()
                await self._wake.wait()

    def _overlapping(self) -> Sequence[_Queued] | None:
        """The batch in flight that another one may overlap, an empty one for none; None if none may."""
        if not self._in_flight:
            return ()
        # After a failure, batches go one at a time: one that is sent again must not follow a later one.
        if len(self._in_flight) < IN_FLIGHT_MAX and not self._troubled and self._sound():
            return self._in_flight[0].batch
        return None

    def _sound(self) -> bool:
        """Whether the connection is good for another batch, in the log's epoch as far as is known."""
        return self._connection is not None and self._connection.usable and self._epoch != 0

    def _batch_s(self) -> float:
        """The expected time of one batch that is waited for: that of the last one, or of the one in flight if longer.

        A busy event loop counts too: while it does other work, no batch is sent.
        """
        if not self._batcher.full_batches:
            return 0.0  # most often: nobody waits for it
        return max(self._last_batch_s, asyncio.get_running_loop().time() - self._busy_since)

    def _send(self, batch: list[_Queued]) -> None:
        now = asyncio.get_running_loop().time()
        if not self._in_flight:
            self._busy_since = now
        before = self._in_flight[-1] if self._in_flight else None
        sent = _InFlight(batch, began=now)
        self._in_flight.append(sent)
        sent.task = asyncio.create_task(self._carry(sent, before), name=f"{self._name}: batch")

    async def _carry(self, sent: _InFlight, before: _InFlight | None) -> None:
        try:
            await self._append(sent, before)
        finally:
            now = asyncio.get_running_loop().time()
            self._in_flight.remove(sent)
            self._last_batch_s, self._busy_since = now - max(sent.began, self._busy_since), now
            self._wake.set()

    async def _append(self, sent: _InFlight, before: _InFlight | None) -> None:
        """Send a batch and resolve its tickets; never raises, so that one bad batch does not end the writer."""
        batch = sent.batch
        try:
            verdicts = await self._verdicts(sent, before)
        except InvalidRequest as error:
            if len(batch) == 1:
                self._fail(batch, error)
                return
            log.warning("batch_refused_by_server", requests=len(batch), reason=str(error))
            with self._trouble():
                for queued in batch:
                    await self._append(_InFlight([queued], began=sent.began), None)
        except AppendError as error:
            self._fail(batch, error)
        except Exception as error:  # the outer loop of this worker: it logs, fails the batch and goes on
            log.exception("append_failed", requests=len(batch))
            await self._disconnect()
            self._fail(batch, OutcomeUnknown(f"the writer failed: {error!r}"))
        else:
            for ticket, verdict in self._batcher.settle(batch, verdicts):
                _resolve(ticket, verdict)
            if any(isinstance(verdict, Accepted) and verdict.first for verdict in verdicts):
                self._hints.request()

    @contextlib.contextmanager
    def _trouble(self) -> Iterator[None]:
        """Batches that are sent in this block overlap no other."""
        self._troubled += 1
        try:
            yield
        finally:
            self._troubled -= 1

    def _fail(self, batch: list[_Queued], error: AppendError) -> None:
        for ticket in self._batcher.fail(batch):
            _resolve(ticket, error)

    async def _verdicts(self, sent: _InFlight, before: _InFlight | None) -> list[Verdict]:
        """The server's verdicts, sending again while the answer is lost and time is left."""
        try:
            return await self._attempt(sent, before, lost=False)
        except AnswerLost as error:
            # Not a failure. The batch is sent again under its keys, which say whether it was stored: all of it or
            # nothing, since a batch is one transaction. Only without an answer in time is the outcome unknown.
            reason: Exception = error
        except StoreUnavailable as error:
            if sent in self._in_flight and sent is not self._in_flight[-1]:
                raise  # a later batch is at the server: this one must not come behind it
            reason = error
        with self._trouble():
            if before is not None:
                await asyncio.wait({before.task})  # that one is sent again first
            return await self._verdicts_at_last(sent, reason)

    async def _verdicts_at_last(self, sent: _InFlight, reason: Exception) -> list[Verdict]:
        """The same after a first try that failed: nothing else is at the server."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + limits.RESEND_WINDOW_S
        pause, lost = limits.RESEND_PAUSE_S, False
        while True:
            log.warning("append_without_answer", requests=len(sent.batch), reason=str(reason))
            lost = lost or isinstance(reason, AnswerLost)
            if loop.time() + pause >= deadline or self._closing:
                if lost:
                    raise OutcomeUnknown(f"the answer was lost: {reason}") from reason
                raise StoreUnavailable(str(reason)) from reason
            await asyncio.sleep(pause)
            pause = min(pause * 2, limits.RESEND_PAUSE_MAX_S)
            try:
                return await self._attempt(sent, None, lost=lost)
            except (StoreUnavailable, AnswerLost) as error:
                reason = error

    async def _attempt(self, sent: _InFlight, before: _InFlight | None, *, lost: bool) -> list[Verdict]:
        decided_in = {queued.epoch for queued in sent.batch if queued.epoch is not None}
        if not self._sound() or max(decided_in, default=0) > self._epoch:
            if before is not None:
                await asyncio.wait({before.task})  # it needs the connection as it is
            await self._connect()
        for epoch in decided_in - {self._epoch}:  # also when a new connection brought another one
            if lost:
                raise OutcomeUnknown(f"the log left epoch {epoch} before it answered")
            raise EpochChanged(epoch)
        return await self._call(sent, before)

    async def _call(self, sent: _InFlight, before: _InFlight | None) -> list[Verdict]:
        assert self._connection is not None
        connection, epoch = self._connection, self._epoch
        packed = [queued.ticket.packed for queued in sent.batch]
        sent.answer = connection.send(wire.joined(packed, epoch=epoch))
        if before is not None and before.answer is not None:
            # The server begins with this batch when it is done with that one, and its time begins only then.
            await asyncio.wait({before.answer})
        done, _ = await asyncio.wait({sent.answer}, timeout=ANSWER_TIMEOUT_S)
        if not done:
            connection.abandon()
        try:
            return wire.verdicts([each.request for each in packed], await sent.answer)
        except psycopg.Error as error:
            raise self._translated(error, epoch) from error

    def _translated(self, error: psycopg.Error, epoch: int) -> Exception:
        """The error for the callers of a batch. After a refusal for the epoch the next batch connects anew."""
        if error.sqlstate == wire.WRONG_EPOCH:
            self._epoch = 0
            return EpochChanged(epoch)
        if isinstance(error, psycopg.DataError | psycopg.IntegrityError):
            return InvalidRequest(str(error))
        return StoreUnavailable(str(error).strip())

    async def _connect(self) -> None:
        """Connect anew.

        Raises:
            StoreUnavailable: the log cannot be reached.
        """
        await self._disconnect()
        try:
            connection = await database.connect_async(
                self._url, role="counterfoil_writer", name=self._name, settings=_SESSION
            )
        except psycopg.Error as error:
            raise StoreUnavailable(str(error).strip()) from error
        try:
            epoch = (await reading.head_async(connection)).epoch
            self._connection = await PipelinedConnection.prepared(connection)
        except psycopg.Error as error:
            await connection.close()
            raise StoreUnavailable(str(error).strip()) from error
        self._epoch = epoch

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()


def _resolve(ticket: _Ticket, outcome: Verdict | AppendError) -> None:
    if ticket.verdict.done():
        return
    if isinstance(outcome, AppendError):
        ticket.verdict.set_exception(outcome)
    else:
        ticket.verdict.set_result(outcome)
