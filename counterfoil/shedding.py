"""Requests that are not to go further are refused as soon as their headers are read: no task, no body, no application.

Under overload most requests are refused, and what refusing costs is taken from those that are carried out; through the
application it would cost several times as much.
"""

from collections.abc import Iterable
from typing import Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from runtime.edge import correlation_of, dressed
from runtime.problems import ProblemError

_CONNECTION: Final = b"connection"

Headers = Iterable[tuple[bytes, bytes]]


class SheddingProtocol(HttpToolsProtocol):
    """Uvicorn's protocol, which asks `app.state.refuse(method, path)`, if there is one, before it begins a request."""

    _shedding = False

    def on_headers_complete(self) -> None:
        """Refuse, or begin the request."""
        problem = self._problem()
        if problem is None:
            super().on_headers_complete()
            return
        self._shedding = True
        self.transport.write(answer(problem, self.headers, also=self.server_state.default_headers))

    def on_body(self, body: bytes) -> None:
        """Drop what belongs to a refused request."""
        if not self._shedding:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Go on with the next request of the connection."""
        if not self._shedding:
            super().on_message_complete()
            return
        self._shedding = False
        self.on_response_complete()

    def _problem(self) -> ProblemError | None:
        """Why the request is refused; None also where an answer from here could come out of turn, or be cut off."""
        refuse = getattr(self.config.app.state, "refuse", None)  # type: ignore[union-attr]  # always a FastAPI
        if refuse is None or not getattr(self.cycle, "response_complete", True):
            return None
        leaving = any(name == _CONNECTION for name, _ in self.server_state.default_headers)
        if leaving or self.expect_100_continue or not self.parser.should_keep_alive():
            return None
        path = self.url.partition(b"?")[0].decode("latin-1")
        problem = refuse(self.parser.get_method().decode("ascii"), path)
        assert problem is None or isinstance(problem, ProblemError)
        return problem


def answer(problem: ProblemError, request: Headers, *, also: Headers) -> bytes:
    """The answer to a request with these headers, as it goes over the wire; `also` are headers of every answer."""
    correlation = correlation_of(request)
    body = problem.body(correlation)
    own = [(name.encode(), value.encode()) for name, value in problem.response_headers().items()]
    own.append((b"content-length", b"%d" % len(body)))
    lines = [STATUS_LINE[problem.status]]
    lines += [b"%b: %b\r\n" % header for header in (*also, *dressed(own, correlation))]
    return b"".join([*lines, b"\r\n", body])
