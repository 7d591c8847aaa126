"""The one way from a request to its answer, for every route of both APIs and for every command of a batch.

correlation → shed → match → limit by address → authenticate → authorise → limit by principal → handle → problems →
headers → metrics → access log → security streams. Headers say, too, which pages may read an answer, and how it is
encoded. Adapters bring requests in and deliver answers; they know no routes and no rules.
"""

import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, Literal

import structlog
from fastapi import FastAPI
from msgspec import Struct
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from runtime.http import compression
from runtime.http.access_log import AccessLog
from runtime.http.cors import Cors
from runtime.http.exchange import Exchange, Headers, nothing_more
from runtime.http.headers import Header, correlation_of, with_standard
from runtime.http.principal import Principal, Requirement, may_use, permission_of
from runtime.http.problem_answers import respond
from runtime.http.routes import NOWHERE, Prepared, Route, RouteTable
from runtime.problems import ProblemError
from runtime.quotas.quota import headers_of
from runtime.telemetry import HttpMetrics, correlation_id

Deliver = Callable[[Response], Awaitable[int]]
"""Brings an answer to its caller, and says with which status."""

_PLACE: Final = "@place@"
"""Stands where a correlation id will."""

log = structlog.get_logger()


class Refusal:
    """A problem that is answered many times over, as the bytes of its answer: only the correlation id differs."""

    def __init__(self, problem: ProblemError) -> None:
        place = _PLACE.encode()
        own = [(name.encode(), value.encode()) for name, value in problem.response_headers().items()]
        self._before, _, self._after = problem.body(_PLACE).rpartition(place)
        self._headers = lines(with_standard(own, _PLACE, secure=False)).removesuffix(place + b"\r\n")
        self.problem = problem

    def answer(self, correlation: str, *, also: bytes) -> bytes:
        """The answer as it goes over the wire; `also` are lines of every answer."""
        known = correlation.encode("ascii")  # its alphabet needs no escapes in JSON
        body = self._before + known + self._after
        return b"%b%bcontent-length: %d\r\n%b%b\r\n\r\n%b" % (
            STATUS_LINE[self.problem.status],
            also,
            len(body),
            self._headers,
            known,
            body,
        )


def lines(headers: Iterable[Header]) -> bytes:
    """Headers as they stand in an answer."""
    return b"\r\n".join([*map(b": ".join, headers), b""])


async def unlimited(_exchange: Exchange) -> None:
    """Let every request pass."""


def unrecognised(_exchange: Exchange) -> Principal | None:
    """Recognise nobody."""
    return None


def permit(exchange: Exchange, route: Route) -> None:
    """Refuse a route to a principal that lacks what it requires.

    Raises:
        ProblemError: `forbidden`.
    """
    if not may_use(exchange.principal, route.requires):
        raise _forbidden(route.requires)


def permit_to(principal: Principal, requirement: Requirement) -> None:
    """Refuse what requires something that a principal lacks.

    Raises:
        ProblemError: `forbidden`.
    """
    if not may_use(principal, requirement):
        raise _forbidden(requirement)


def _forbidden(requirement: Requirement) -> ProblemError:
    permission = permission_of(requirement)
    needed = f"the permission {permission}" if permission else "an account"
    return ProblemError("forbidden", f"The request needs {needed}.")


def unnoted(_exchange: Exchange, _status: int) -> None:
    """Say nothing of it to security streams."""


Given = Literal["exported", "revealed"]
"""What a security stream says of an answer before it is given: a whole list, or personal data."""


async def unrecorded(_exchange: Exchange, _given: Given, _detail: str) -> None:
    """Say nothing of it to security streams, and wait for nothing."""


def peer_of(exchange: Exchange) -> str:
    """The address that the connection comes from; empty where there is none."""
    client = exchange.scope.get("client")
    return "" if client is None else str(client[0])


def unshed(_method: str, _path: str) -> Refusal | None:
    """Shed nothing."""
    return None


def head_of(response: Response, *, also: bytes) -> bytes:
    """Status and headers as they go over the wire, without the empty line; `also` are lines of every answer."""
    return b"".join([STATUS_LINE[response.status_code], also, lines(response.raw_headers)])


class Steps(Struct, frozen=True):
    """The steps that depend on the application. Each refuses by raising ProblemError, `shed` by its answer.

    `shed` gets method and path, before anything else is known: it must cost next to nothing. `limit_by_address` runs
    before the caller is known, `limit_by_principal` after. `recognise` is all three for an answer that is there without
    waiting: the principal of a request, or None where one of them would have to wait, or refuse. `note` counts for
    security streams what was answered; `record` has one say what a request is given, before it is. `address_of` says
    where a request comes from.
    """

    authenticate: Callable[[Exchange], Awaitable[Principal]]
    shed: Callable[[str, str], Refusal | None] = unshed
    limit_by_address: Callable[[Exchange], Awaitable[None]] = unlimited
    authorise: Callable[[Exchange, Route], None] = permit
    limit_by_principal: Callable[[Exchange], Awaitable[None]] = unlimited
    recognise: Callable[[Exchange], Principal | None] = unrecognised
    note: Callable[[Exchange, int], None] = unnoted
    record: Callable[[Exchange, Given, str], Awaitable[None]] = unrecorded
    address_of: Callable[[Exchange], str] = peer_of


class Pipeline:
    """The steps of one application, in their order."""

    def __init__(
        self,
        app: FastAPI,
        table: RouteTable,
        *,
        steps: Steps,
        problem_of: Callable[[Exception], ProblemError | None],
        metrics: HttpMetrics,
        access_log: AccessLog,
        cors: Cors | None = None,
    ) -> None:
        """`app` is where handlers find what it opened; `problem_of` says which problem an error means to a caller.

        None: nobody foresaw it. Without `cors` no page of another origin may call.
        """
        self.app = app
        self.table = table
        self.is_shedding = False
        """Whether the last request that was asked about was shed."""
        self._steps = steps
        self._problem_of = problem_of
        self._metrics = metrics
        self._access_log = access_log
        self._cors = cors

    async def serve(self, exchange: Exchange, deliver: Deliver) -> None:
        """Answer one request and deliver the answer.

        Raises:
            whatever kept the answer from being delivered whole; the adapter closes the connection then.
        """
        exchange.pipeline = self
        exchange.correlation_id, malformed = correlation_of(exchange.headers)  # 1: correlation
        bound = correlation_id.set(exchange.correlation_id)
        status = 0
        try:
            response = await self._answer(exchange, malformed)
            response = await compression.compressed(response, exchange.headers)
            self._add_headers(exchange, response)  # 10: headers
            status = response.status_code
            status = await deliver(response)
        except Exception:
            log.exception("answer_not_delivered", route=_route(exchange))
            raise
        finally:
            try:
                if exchange.closing is not None:
                    await exchange.closing.aclose()
            finally:
                self._note(exchange, status)
                correlation_id.reset(bound)

    async def _answer(self, exchange: Exchange, malformed: ProblemError | None) -> Response:
        try:
            return await self._handled(exchange, malformed)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody is there to read it
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets an answer
            return respond(self._problem(error, exchange), exchange.correlation_id)  # 9: problems

    async def _handled(self, exchange: Exchange, malformed: ProblemError | None) -> Response:
        method, path = exchange.scope["method"], exchange.scope["path"]
        # 2: shed; a request that came whole was asked about when its head was read, a moment ago
        refusal = self._steps.shed(method, path) if exchange.whole is None else None
        if refusal is not None:
            raise refusal.problem
        if malformed is not None:
            raise malformed
        exchange.route, exchange.parameters = self._match(exchange, method, path)  # 3: match
        await self._steps.limit_by_address(exchange)  # 4: limit by address
        exchange.principal = await self._steps.authenticate(exchange)  # 5: authenticate
        self._authorise(exchange)  # 6: authorise
        await self._steps.limit_by_principal(exchange)  # 7: limit by principal
        return await exchange.route.handle(exchange)  # 8: handle

    def _match(self, exchange: Exchange, method: str, path: str) -> tuple[Route, dict[str, str]]:
        if exchange.match is not None:
            return exchange.match
        if self._cors is not None and self._cors.is_preflight(exchange):
            return self._cors.route(exchange, self.table), {}
        return self.table.match(method, path)

    def _add_headers(self, exchange: Exchange, response: Response) -> None:
        secure = exchange.scope["scheme"] == "https"
        response.raw_headers = with_standard(response.raw_headers, exchange.correlation_id, secure=secure)
        if exchange.route is not None and exchange.route.headers:
            response.raw_headers.extend(exchange.route.headers)
        if exchange.allowances:
            response.raw_headers.extend(headers_of(exchange.allowances))
        if self._cors is not None:
            response.raw_headers.extend(self._cors.headers_for(exchange.headers))

    async def entry(self, entry: Exchange, handle: Callable[[Exchange], Awaitable[object]]) -> object:
        """Carry out one command of a batch: limited, authorised and handled as if it came alone.

        Raises:
            ProblemError: it was refused, or failed.
        """
        try:
            await self._steps.limit_by_address(entry)
            self._authorise(entry)
            await self._steps.limit_by_principal(entry)
            return await handle(entry)
        except Exception as error:
            problem = self._problem(error, entry)
            self._steps.note(entry, problem.status)
            self._log_access(entry, problem.status, seconds=_seconds_since(entry))
            raise problem from error

    def address_of(self, exchange: Exchange) -> str:
        """The address of the network that a request comes from, as far as it can be trusted."""
        return self._steps.address_of(exchange)

    async def record(self, exchange: Exchange, given: Given, detail: str) -> None:
        """Have a security stream say what a request is given, before it is; `detail` in the words of the request.

        Raises:
            ProblemError: `identity-unavailable`: that cannot be had now.
        """
        await self._steps.record(exchange, given, detail)

    def _authorise(self, exchange: Exchange) -> None:
        assert exchange.route is not None, "matched before"
        self._steps.authorise(exchange, exchange.route)

    def shed(self, method: str, path: str) -> Refusal | None:
        """Step 2, of a request of which only method and path are known."""
        refusal = self._steps.shed(method, path)
        self.is_shedding = refusal is not None
        return refusal

    def refuse(self, refusal: Refusal, method: str, headers: Headers, *, also: bytes) -> bytes:
        """Steps 1 and 9 to 12 of a request that is shed: the bytes of its answer; `also` are lines of every answer."""
        exchange = Exchange({"method": method, "headers": headers}, nothing_more)
        exchange.correlation_id, _ = correlation_of(headers)
        exchange.code = refusal.problem.type.slug
        bound = correlation_id.set(exchange.correlation_id)
        try:
            self._note(exchange, refusal.problem.status)
        finally:
            correlation_id.reset(bound)
        if self._cors is not None:
            also += lines(self._cors.headers_for(headers))
        return refusal.answer(exchange.correlation_id, also=also)

    def immediate(self, exchange: Exchange, *, also: bytes) -> bytes | None:
        """All steps of a whole request whose route has its answer without waiting: the bytes of the answer.

        None: it has to be served. `also` are lines of every answer.
        """
        assert exchange.match is not None, "the adapter matched it, to see whether its route takes it whole"
        route, exchange.parameters = exchange.match
        if route.immediate is None:
            return None
        exchange.correlation_id, malformed = correlation_of(exchange.headers)
        principal = self._steps.recognise(exchange) if malformed is None else None
        if principal is None:
            return None
        exchange.principal = principal
        try:
            self._steps.authorise(exchange, route)
            prepared = route.immediate(exchange)
        except Exception:  # noqa: BLE001 - serving it meets the same error, and reports it
            return None
        if prepared is None:
            return None
        exchange.route = route
        bound = correlation_id.set(exchange.correlation_id)
        try:
            self._note(exchange, 200)
        finally:
            correlation_id.reset(bound)
        return self._written(prepared, exchange, also=also)

    def _written(self, prepared: Prepared, exchange: Exchange, *, also: bytes) -> bytes:
        assert exchange.route is not None, "matched before"
        headers = exchange.route.headers
        if self._cors is not None:
            headers += self._cors.headers_for(exchange.headers)
        return b"%b%b%b%bcorrelation-id: %b\r\n\r\n%b" % (
            STATUS_LINE[200],
            also,
            prepared.lines,
            lines(headers) if headers else b"",
            exchange.correlation_id.encode("ascii"),
            prepared.body,
        )

    def _problem(self, error: Exception, exchange: Exchange) -> ProblemError:
        problem = self._problem_of(error)
        if problem is None:
            # The last resort: whatever goes wrong, the caller learns a correlation id and nothing else.
            method, route = exchange.scope["method"], _route(exchange)
            log.error("request_failed", method=method, route=route, exc_info=error)
            problem = internal_error()
        exchange.code, exchange.about = problem.type.slug, problem.about
        return problem

    def _note(self, exchange: Exchange, status: int) -> None:
        method, route, seconds = exchange.scope["method"], _route(exchange), _seconds_since(exchange)
        self._metrics.answered(method, route, status=status, seconds=seconds)  # 11: metrics
        self._log_access(exchange, status, seconds=seconds)  # 12: access log
        self._steps.note(exchange, status)  # 13: security streams

    def _log_access(self, exchange: Exchange, status: int, *, seconds: float) -> None:
        self._access_log.wrote(
            exchange.scope["method"],
            _route(exchange),
            status=status,
            code=exchange.code,
            principal=exchange.principal,
            seconds=seconds,
        )


def internal_error() -> ProblemError:
    """What a caller learns of a failure that nobody foresaw."""
    return ProblemError(
        "internal-error", "The request could not be answered. Its correlation id names it in the logs."
    )


def _seconds_since(exchange: Exchange) -> float:
    """How long ago the request came in."""
    return time.perf_counter() - exchange.started_at


def _route(exchange: Exchange) -> str:
    """The template of the route that took the request: a bounded set, unlike addresses."""
    return NOWHERE.path if exchange.route is None else exchange.route.path
