"""Two short ways past ASGI, for requests that are plain: to be refused at once, and to be answered directly.

Under overload most requests are refused, and what refusing costs is taken from those that are carried out: a refusal is
written as soon as the headers are read, without a task, a body or the application. And what the application answers
directly goes to it as a whole and comes back as a whole, in one write; cycles, messages and headers that are
looked at once more took half as long as deciding a command. All else goes uvicorn's way, to the same answers.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from fastapi import FastAPI, Response
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from runtime.direct import Direct, Refusal, lines

Header = tuple[bytes, bytes]
Refuse = Callable[[bytes, bytes], Refusal | None]
"""How a request with this method and target is refused; None if it is not."""

_CONNECTION: Final = b"connection"
_CLOSE: Final = b"\r\nconnection: close\r\n"


class ShortcutProtocol(HttpToolsProtocol):
    """Uvicorn's protocol with the short ways that the application's state names, if it names any.

    `state.refuse` is asked before a request is begun; `state.direct` holds what answers a method and target directly.
    """

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        assert isinstance(self.config.app, FastAPI)
        self._refuse: Refuse = getattr(self.config.app.state, "refuse", _refuse_none)
        self._direct: Mapping[tuple[bytes, bytes], Direct] = getattr(self.config.app.state, "direct", {})
        self._of_all: Sequence[Header] = ()
        self._lines_of_all = b""
        self._leaving = False
        self._shedding = False
        self._begun: Direct | None = None
        self._body = b""

    def data_received(self, data: bytes) -> None:
        """Read on; a request whose body has not come with its headers is the application's to wait for."""
        super().data_received(data)
        if self._begun is not None:
            self._begun = None
            super().on_headers_complete()
            if self._body:
                super().on_body(self._body)

    def on_headers_complete(self) -> None:
        """Refuse the request, keep it for a direct answer, or begin it."""
        if not self._is_plain():
            super().on_headers_complete()
            return
        method = self.parser.get_method()
        refusal = self._refuse(method, self.url)
        if refusal is not None:
            self._shedding = True
            self.transport.write(refusal.answer(self.headers, also=self._lines_of_all))
            return
        self._begun = self._direct.get((method, self.url))
        self._body = b""
        if self._begun is None:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Keep what belongs to a direct request, drop what belongs to a refused one."""
        if self._begun is not None:
            self._body += body  # no more than was read at once
        elif not self._shedding:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Answer a direct request; after a refused one go on with the next of the connection."""
        if self._begun is not None:
            self._answer(self._begun(self.headers, self._body))
            self._begun = None
        elif self._shedding:
            self._shedding = False
            self.on_response_complete()
        else:
            super().on_message_complete()

    def _is_plain(self) -> bool:
        """Whether an answer from here would come in its turn, and the connection outlive it."""
        self._look_at_headers_of_all()
        return (
            getattr(self.cycle, "response_complete", True)  # there is none before the first request
            and not self._leaving
            and not self.expect_100_continue
            and self.parser.should_keep_alive()
            and self.parser.get_http_version() == "1.1"
        )

    def _answer(self, answering: Awaitable[Response]) -> None:
        under_way = UnderWay()
        self.cycle = under_way  # type: ignore[assignment]  # uvicorn asks no more of it than this
        task = self.loop.create_task(self._answered(answering, under_way))
        self.tasks.add(task)  # the loop itself holds its tasks weakly
        task.add_done_callback(self.tasks.discard)

    async def _answered(self, answering: Awaitable[Response], under_way: "UnderWay") -> None:
        try:
            response = await answering
            if self.flow.write_paused:
                await self.flow.drain()
        except BaseException:
            self.transport.close()  # cancelled: the time to drain is over
            raise
        under_way.response_complete = True
        self._look_at_headers_of_all()  # the process may have been told to end meanwhile
        head = b"".join([STATUS_LINE[response.status_code], self._lines_of_all, lines(response.raw_headers)])
        ends = _CLOSE in head
        if not (ends or under_way.keep_alive):
            head, ends = head + _CLOSE[2:], True
        self.transport.write(b"".join([head, b"\r\n", response.body]))
        if ends:
            self.transport.close()
        self.on_response_complete()

    def _look_at_headers_of_all(self) -> None:
        of_all = self.server_state.default_headers
        if of_all is not self._of_all:  # uvicorn replaces the list every second, for the date
            self._of_all = of_all
            self._lines_of_all = lines(of_all)
            self._leaving = any(name == _CONNECTION for name, _ in of_all)


class UnderWay:
    """A direct request under way: of uvicorn's cycle, what uvicorn asks of one when it is not in it."""

    __slots__ = ("disconnected", "keep_alive", "response_complete")

    message_event: Final = asyncio.Event()  # nobody waits for it

    def __init__(self) -> None:
        self.disconnected = False
        self.keep_alive = True
        self.response_complete = False


def _refuse_none(_method: bytes, _target: bytes) -> None:
    """What an application does that refuses nothing beforehand."""
