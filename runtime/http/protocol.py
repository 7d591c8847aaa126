"""Three short ways from the socket into the pipeline, for plain requests: shed, answered at once, or served whole.

Under overload most requests are refused, and what refusing costs is taken from those that are carried out: a refusal is
written without a task, and without the parser where the request came whole. A route whose answer needs no waiting
gives it without a task, too, and without the parser where a connection asks on with the same headers. And a route that
takes its body and gives its answer in one piece gets the request as a whole and writes once; cycles, messages and
headers that are read once more took half as long as deciding a command. All else goes uvicorn's way, into the same
pipeline.
"""

import asyncio
from typing import Any, Final, cast

from starlette.responses import Response
from starlette.types import Scope

from runtime.http import plain_request
from runtime.http.application import PipelineApp
from runtime.http.connection_limits import LimitedProtocol
from runtime.http.exchange import Exchange, nothing_more
from runtime.http.pipeline import head_of, lines
from runtime.http.routes import Route

PARSED_BYTES: Final = 64 * 1024
"""Read at a time: what a caller sends ahead of its answers waits as bytes, which are smaller than requests."""

_NOBODY_WAITS: Final = asyncio.Event()
_CONNECTION: Final = b"connection"
_CLOSE: Final = b"connection: close\r\n"


class _UnderWay:
    """A whole request under way: of uvicorn's cycle, what uvicorn asks of one when it is not in it."""

    disconnected = False
    keep_alive = True
    response_complete = False
    message_event = _NOBODY_WAITS


class PipelineProtocol(LimitedProtocol):
    """Uvicorn's protocol with the three short ways; a caller that does not read its answers gets none of them."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        assert isinstance(self.config.app, PipelineApp)
        self._pipeline = self.config.app.pipeline
        self._of_all: list[tuple[bytes, bytes]] = []
        self._lines_of_all = b""
        self._leaving = False
        self._shedding = False
        self._kept: list[bytes] | None = None
        self._match: tuple[Route, dict[str, str]] | None = None
        self._begun: Exchange | None = None
        """The whole request that was begun, of those that came last."""
        self._repeatable: tuple[bytes, Exchange] | None = None
        """What followed the first line of a whole request, and what was read in it."""
        self._unparsed = b""

    def data_received(self, data: bytes) -> None:
        """Refuse or begin the request, or read on, unless answers wait to be read or requests to be begun."""
        if not (self._refuse_unparsed(data) or self._begin_unparsed(data)):
            self._unparsed += data
            self._parse()

    def resume_writing(self) -> None:
        """Read on: the caller reads its answers again."""
        super().resume_writing()
        self._parse()

    def on_response_complete(self) -> None:
        """Begin what waits, and read on."""
        super().on_response_complete()
        if self._unparsed:
            self.loop.call_soon(self._parse)

    def _refuse_unparsed(self, data: bytes) -> bool:
        """Refuse the plain request that `data` is, if requests like it are shed now."""
        if (
            not self._pipeline.is_shedding
            or self._in_message
            or self._unparsed
            or not self._answers_at_once()
        ):
            return False
        path = plain_request.path_of(data)
        refusal = None if path is None else self._pipeline.shed("POST", path)
        headers = None if refusal is None else plain_request.headers_of(data)
        if refusal is None or headers is None:
            return False
        self._end_waiting()
        self.transport.write(self._pipeline.refuse(refusal, "POST", headers, also=self._lines_of_all))
        self.on_response_complete()
        return True

    def _begin_unparsed(self, data: bytes) -> bool:
        """Begin the request that `data` is, if only its path differs from one that was, and its route takes it whole.

        Clients send the same headers with every request of a connection, and reading them takes as long as answering.
        """
        if self._repeatable is None or self._in_message or self._unparsed or not self._answers_at_once():
            return False
        rest, before = self._repeatable
        raw_path = plain_request.path_before(rest, data)
        if raw_path is None or self._pipeline.shed("GET", raw_path.decode("ascii")) is not None:
            return False
        path = plain_request.decoded(raw_path.decode("ascii"))
        match = self._pipeline.table.match("GET", path)
        if not match[0].whole:
            return False
        self._unset_keepalive_if_required()
        self._end_waiting()
        scope = {**before.scope, "path": path, "raw_path": raw_path}
        self._begin(Exchange(scope, nothing_more, whole=before.whole), match)
        return True

    def _parse(self) -> None:
        while self._unparsed and not (self.pipeline or self.flow.write_paused or self.transport.is_closing()):
            some, self._unparsed = self._unparsed[:PARSED_BYTES], self._unparsed[PARSED_BYTES:]
            head = self._heads
            between, self._begun = not self._in_message, None
            super().data_received(some)
            if self._kept is not None:
                # Its body has not come with its headers: that is uvicorn's to wait for.
                body, self._kept = b"".join(self._kept), None
                super().on_headers_complete()
                if body:
                    super().on_body(body)
            elif between and self._heads == head + 1:
                self._keep_repeatable(some)
            self._fed(len(some), head=head)
        if self._unparsed and not self.transport.is_closing():
            self.flow.pause_reading()

    def _keep_repeatable(self, request: bytes) -> None:
        """Keep what was read in a request that came alone and whole."""
        if self._begun is not None and (rest := plain_request.rest_of(request)) is not None:
            self._repeatable = (rest, self._begun)

    def on_headers_complete(self) -> None:
        """Shed the request, keep it until it is whole, or begin it."""
        self._in_head = False
        self._end_waiting()
        if self._is_plain():
            method, path = self.parser.get_method().decode("ascii"), self.url.decode("latin-1")
            refusal = self._pipeline.shed(method, path.partition("?")[0])
            if refusal is not None:
                self._shedding = True
                also = self._lines_of_all
                self.transport.write(self._pipeline.refuse(refusal, method, self.headers, also=also))
                return
            if "?" not in path:
                path = plain_request.decoded(path)
                match = self._pipeline.table.match(method, path)
                if match[0].whole:
                    self.scope["method"], self.scope["path"] = method, path
                    self.scope["raw_path"], self.scope["query_string"] = self.url, b""
                    self._match, self._kept = match, []
                    return
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Keep what belongs to a whole request, drop what belongs to a refused one."""
        if self._kept is not None:
            self._kept.append(body)  # no more than was read at once
        elif not self._shedding:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Answer a whole request; after a refused one go on with the next of the connection."""
        self._in_message = False
        if self._kept is not None:
            assert self._match is not None, "matched when its head was read"
            whole, self._kept = b"".join(self._kept), None
            self._begin(Exchange(cast("Scope", self.scope), nothing_more, whole=whole), self._match)
        elif self._shedding:
            self._shedding = False
            self.on_response_complete()
        else:
            super().on_message_complete()

    def _begin(self, exchange: Exchange, match: tuple[Route, dict[str, str]]) -> None:
        """Answer a whole request at once, or begin to serve it."""
        exchange.match, self._begun = match, exchange
        immediate = self._pipeline.immediate(exchange, also=self._lines_of_all)
        if immediate is not None:
            self.transport.write(immediate)
            self.on_response_complete()
            return
        self.cycle = under_way = _UnderWay()  # type: ignore[assignment]  # uvicorn asks no more of it than this
        task = self.loop.create_task(self._serve(exchange, under_way))
        self.tasks.add(task)  # the loop itself holds its tasks weakly
        task.add_done_callback(self.tasks.discard)

    def _is_plain(self) -> bool:
        """Whether an answer from here would come in its turn, be read, and leave the connection open."""
        return (
            self._answers_at_once()
            and not self.expect_100_continue
            and self.parser.should_keep_alive()
            and not self.parser.should_upgrade()
            and self.parser.get_http_version() == "1.1"
        )

    def _answers_at_once(self) -> bool:
        """Whether nothing is under way, and what is written now is read and does not end the connection."""
        self._read_headers_of_all()
        return (
            getattr(self.cycle, "response_complete", True)  # there is none before the first request
            and not (self._leaving or self.flow.write_paused)
            and self.scheme == "http"
        )

    async def _serve(self, exchange: Exchange, under_way: _UnderWay) -> None:
        async def deliver(response: Response) -> int:
            if self.flow.write_paused:
                await self.flow.drain()
            under_way.response_complete = True
            self._read_headers_of_all()  # the process may be ending by now
            head = head_of(response, also=self._lines_of_all)
            ends = b"\r\n" + _CLOSE in head
            if not (ends or under_way.keep_alive):
                head, ends = head + _CLOSE, True
            body = b"" if exchange.scope["method"] == "HEAD" else response.body
            self.transport.write(b"".join([head, b"\r\n", body]))
            if ends:
                self.transport.close()
            return response.status_code

        try:
            await self._pipeline.serve(exchange, deliver)
        except BaseException:
            self.transport.close()  # cancelled: the time to drain is over
            raise
        self.on_response_complete()

    def _read_headers_of_all(self) -> None:
        of_all = self.server_state.default_headers
        if of_all is not self._of_all:  # uvicorn replaces the list every second, for the date
            self._of_all = of_all
            self._lines_of_all = lines(of_all)
            self._leaving = any(name == _CONNECTION for name, _ in of_all)
