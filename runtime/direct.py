"""Direct answers: the whole request in, the whole response out, with all that the edge adds to it, but without ASGI.

A server that has a request as a whole need not hand it over in messages, nor be handed the answer in messages.
"""

import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final

import structlog
from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from runtime.edge import correlation_of, dressed, internal_error
from runtime.problems import ProblemError, respond
from runtime.telemetry import HttpMetrics, correlation_id

Headers = Sequence[tuple[bytes, bytes]]
"""Names in lower case."""

Endpoint = Callable[[Headers, bytes, str], Awaitable[Response]]
"""What answers the headers, the body and the correlation id of a request."""

Direct = Callable[[Headers, bytes], Awaitable[Response]]
"""What a server calls, in a task of its own, with the headers and the body of a request; it never raises."""

_PLACE: Final = "@place@"
"""Stands where a correlation id will."""

log = structlog.get_logger()


class Refusal:
    """A problem that is answered many times over, as the bytes of its answer: only the correlation id differs."""

    def __init__(self, problem: ProblemError) -> None:
        place = _PLACE.encode()
        own = [(name.encode(), value.encode()) for name, value in problem.response_headers().items()]
        self._before, _, self._after = problem.body(_PLACE).rpartition(place)
        self._headers = lines(dressed(own, _PLACE)).removesuffix(place + b"\r\n")
        self._status = STATUS_LINE[problem.status]
        self.status = problem.status

    def answer(self, request: Headers, *, also: bytes) -> bytes:
        """The answer to a request with these headers as it goes over the wire; `also` are lines of every answer."""
        correlation = correlation_of(request).encode("ascii")  # its alphabet needs no escapes in JSON
        body = self._before + correlation + self._after
        return b"%b%bcontent-length: %d\r\n%b%b\r\n\r\n%b" % (
            self._status,
            also,
            len(body),
            self._headers,
            correlation,
            body,
        )


def lines(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Headers as they stand in an answer."""
    return b"".join([b"%b: %b\r\n" % header for header in headers])


def at_the_edge(answer: Endpoint, *, method: str, route: str, metrics: HttpMetrics) -> Direct:
    """Put an edge around an endpoint: `runtime.edge.Edge` for a request that does not come through ASGI."""

    async def direct(headers: Headers, body: bytes) -> Response:
        started_at = time.perf_counter()
        correlation = correlation_of(headers)
        correlation_id.set(correlation)  # never put back: it ends with the task
        status = 0
        try:
            response = await answer(headers, body, correlation)
            status = response.status_code
        except Exception:
            # The last resort: whatever goes wrong below, the caller learns a correlation id and nothing else.
            log.exception("request_failed", method=method, route=route)
            response = respond(internal_error(), correlation)
            status = response.status_code
        finally:
            metrics.answered(method, route, status=status, seconds=time.perf_counter() - started_at)
        response.raw_headers = dressed(response.raw_headers, correlation)
        return response

    return direct
