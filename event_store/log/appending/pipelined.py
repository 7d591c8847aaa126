"""A connection on which a batch is sent before the answers to the one before it have come.

The server takes the next batch up the moment it has committed the one before: while verdicts travel, callers wake and
new requests are packed, it works. Each batch stays a transaction of its own, and they are executed in the order in
which they were sent.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

import psycopg
from psycopg import errors
from psycopg.adapt import Transformer
from psycopg.pq import ConnStatus, ExecStatus, Format

from event_store.log import reading
from event_store.log.appending import wire

Rows = list[tuple[Any, ...]]

_STATEMENT: Final = b"append_batch"
_FORMATS: Final = [Format.BINARY] * wire.ARGUMENTS


class AnswerLost(Exception):
    """The connection ended before the verdicts came."""


class PipelinedConnection:
    """Calls of `append_batch` on a connection of its own, which belongs to the running event loop."""

    def __init__(self, connection: reading.AsyncConnection) -> None:
        """Use `prepared` instead."""
        self._connection = connection
        self._pgconn = connection.pgconn
        self._loop = asyncio.get_running_loop()
        self._socket = self._pgconn.socket
        self._asked: deque[asyncio.Future[Rows]] = deque()
        self._answer: Rows | psycopg.Error | None = None
        self._ended: str | None = None

    @classmethod
    async def prepared(cls, connection: reading.AsyncConnection) -> "PipelinedConnection":
        """Take a connection over; it must not be used otherwise any more.

        Raises:
            psycopg.Error: the call cannot be prepared.
        """
        await connection.execute(wire.PREPARE)
        taken = cls(connection)
        taken._pgconn.enter_pipeline_mode()
        taken._loop.add_reader(taken._socket, taken._readable)
        return taken

    @property
    def usable(self) -> bool:
        """Whether it has not ended."""
        return self._ended is None

    def send(self, arguments: Sequence[bytes]) -> asyncio.Future[Rows]:
        """Send a batch; the future ends with its rows.

        It fails with `AnswerLost` when the connection ends first, with a `psycopg.Error` when the server refuses the
        batch: then nothing of it is stored and the connection is of further use.
        """
        answer: asyncio.Future[Rows] = self._loop.create_future()
        self._asked.append(answer)
        if self._ended is None:
            try:
                self._pgconn.send_query_prepared(_STATEMENT, arguments, _FORMATS, Format.BINARY)
                self._pgconn.pipeline_sync()
                if self._pgconn.flush():
                    self._loop.add_writer(self._socket, self._writable)
            except psycopg.Error as error:
                self._end(str(error).strip())
        else:
            self._end(self._ended)
        return answer

    async def close(self) -> None:
        """End the connection; callers that wait for an answer get AnswerLost."""
        self._end("the connection was closed")
        with contextlib.suppress(psycopg.Error):
            await self._connection.close()

    def abandon(self) -> None:
        """Drop a frozen connection without waiting: the wait would freeze this process, too."""
        self._end("the connection was given up")
        self._pgconn.finish()

    def _writable(self) -> None:
        """Hand the kernel what did not fit before."""
        try:
            if not self._pgconn.flush():
                self._loop.remove_writer(self._socket)
        except psycopg.Error as error:
            self._end(str(error).strip())

    def _readable(self) -> None:
        try:
            self._pgconn.consume_input()
            while self._asked and not self._pgconn.is_busy():
                if not self._take_result():
                    return
        except psycopg.Error as error:
            self._end(str(error).strip())

    def _take_result(self) -> bool:
        """Take one of the parts of an answer: rows or an error, nothing, then the end of the batch."""
        result = self._pgconn.get_result()
        if result is None:
            if self._pgconn.status == ConnStatus.BAD:
                self._end(self._pgconn.get_error_message())
            return self._ended is None
        match result.status:
            case ExecStatus.PIPELINE_SYNC:
                self._settle()
            case ExecStatus.TUPLES_OK:
                transformer = Transformer(self._connection)
                transformer.set_pgresult(result)
                self._answer = transformer.load_rows(0, result.ntuples, tuple)
            case _:
                self._answer = errors.error_from_result(result)
        return True

    def _settle(self) -> None:
        answer, self._answer = self._answer, None
        asked = self._asked.popleft()
        if asked.done():
            return
        if isinstance(answer, psycopg.Error):
            asked.set_exception(answer)
        else:
            assert answer is not None, "a batch is answered with rows or an error"
            asked.set_result(answer)

    def _end(self, reason: str) -> None:
        if self._ended is None:
            self._ended = str(self._answer or reason or "the connection ended")
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
        while self._asked:
            asked = self._asked.popleft()
            if not asked.done():
                asked.set_exception(AnswerLost(self._ended))
