"""The edge of both HTTP processes: correlation id, security headers and metrics on each answer, no trace."""

import re
import time
from collections.abc import Iterable
from typing import Final

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runtime.problems import ProblemError, respond
from runtime.randomness import random_bytes
from runtime.telemetry import HttpMetrics, correlation_id

CORRELATION_ID_LENGTH_MAX: Final = 128
_is_correlation_id = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}").fullmatch
_trace_id = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?").fullmatch

SECURITY_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"strict-transport-security", b"max-age=31536000; includeSubDomains"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)
"""Set on every answer, unless the answer brings its own."""

UNMATCHED_ROUTE: Final = "(none)"

log = structlog.get_logger()


class Edge:
    """ASGI middleware, the outermost of the application's own."""

    def __init__(self, app: ASGIApp, *, metrics: HttpMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_at = time.perf_counter()
        correlation = correlation_of(scope["headers"])
        scope["correlation_id"] = correlation
        token = correlation_id.set(correlation)
        status = 0

        async def send_dressed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = dressed(message.get("headers", ()), correlation)
            await send(message)

        try:
            await self._app(scope, receive, send_dressed)
        except Exception:
            # The last resort: whatever goes wrong below, the caller learns a correlation id and nothing else.
            log.exception("request_failed", method=scope["method"], route=route_of(scope))
            if status:
                raise  # the answer has begun: only closing the connection can tell that it is not whole
            await respond(internal_error(), correlation)(scope, receive, send_dressed)
        finally:
            correlation_id.reset(token)
            seconds = time.perf_counter() - started_at
            self._metrics.answered(scope["method"], route_of(scope), status=status, seconds=seconds)


def internal_error() -> ProblemError:
    """What a caller learns of a failure that nobody foresaw."""
    return ProblemError(
        "internal-error", "The request could not be answered. Its correlation id names it in the logs."
    )


def correlation_of(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The caller's Correlation-Id, else the trace id of its traceparent, else a new one.

    Text that could break a log line or a header is not taken over.
    """
    trace = b""
    for name, value in headers:
        if name == b"correlation-id" and _is_correlation_id(value):
            return value.decode("ascii")
        if name == b"traceparent" and (found := _trace_id(value)):
            trace = found[1]
    return trace.decode("ascii") if trace else random_bytes(16).hex()


def dressed(headers: Iterable[tuple[bytes, bytes]], correlation: str) -> list[tuple[bytes, bytes]]:
    """The headers of an answer with those that every answer has."""
    own = list(headers)
    names = {name.lower() for name, _ in own}
    own.extend(header for header in SECURITY_HEADERS if header[0] not in names)
    own.append((b"correlation-id", correlation.encode("ascii")))
    return own


def route_of(scope: Scope) -> str:
    """The template of the route that took the request: a bounded set, unlike addresses."""
    return getattr(scope.get("route"), "path", UNMATCHED_ROUTE)
