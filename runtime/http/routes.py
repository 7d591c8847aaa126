"""The routes of an application: declared and documented by FastAPI, matched and required here, once for all ways in."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack
from typing import Final

from fastapi import FastAPI, Request, Response
from fastapi.routing import APIRoute
from msgspec import Struct
from starlette.routing import BaseRoute

from runtime.http import api_version
from runtime.http.deprecation import deprecation_of
from runtime.http.exchange import Exchange
from runtime.http.headers import Header
from runtime.http.principal import Public, Requirement, confined_to
from runtime.problems import ProblemError

Handler = Callable[[Exchange], Awaitable[Response]]

Immediate = Callable[[Exchange], "Prepared | None"]
"""The answer to a request if it is there without waiting; None: the handler has to be called."""

CONFINED_TO: Final = "confined_to"
"""Where an endpoint of the framework finds in its scope whose objects alone its caller may use; None: everybody's."""

KNOWN: Final = "known"
"""Where an endpoint of the framework finds in its scope whether its caller said who they are."""

_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_NO_ADDRESS: Final = Public("nothing is there")


class UndeclaredRoute(Exception):
    """A route does not say what it requires, carries no version, or would be served past the pipeline."""


class Route(Struct, frozen=True, eq=False):
    """One method of one address: what it requires, and what answers it.

    `whole`: it takes its body and gives its answer in one piece. `headers` are those of all its answers. `immediate`
    answers without waiting where it can.
    """

    path: str
    requires: Requirement
    handle: Handler
    whole: bool
    headers: tuple[Header, ...] = ()
    immediate: Immediate | None = None


class Prepared(Struct, frozen=True):
    """A 200 whose headers are lines already, with the standard ones; only what depends on the request is missing."""

    lines: bytes
    body: bytes


class ExchangeRoute(APIRoute):
    """A route that answers the exchange itself: solving the framework's dependencies would cost more than the rest.

    Unless a subclass does, its endpoint answers, by a method of the same name. `whole`: it takes its body and gives its
    answer in one piece.
    """

    whole = True

    async def answer(self, exchange: Exchange) -> Response:
        """Answer one request."""
        response: Response = await self.endpoint.answer(exchange)  # type: ignore[attr-defined]
        return response


class _Pattern(Struct, frozen=True, eq=False):
    """The routes of one address with parameters."""

    of: APIRoute
    methods: dict[str, Route]

    def parameters(self, path: str) -> dict[str, str] | None:
        """The parameters of an address of this form; None: it has another form."""
        match = self.of.path_regex.match(path)
        return None if match is None else match.groupdict()


class RouteTable:
    """Finds the route of a request: addresses without parameters first, then those with, in the order declared."""

    def __init__(self, routes: Iterable[BaseRoute], *, app: FastAPI) -> None:
        """Take the routes of an application over.

        Raises:
            UndeclaredRoute: one of them does not say what it requires, or cannot be served by the pipeline.
        """
        self._fixed: dict[str, dict[str, Route]] = {}
        self._patterns: dict[int, list[_Pattern]] = {}
        self._routes: dict[int, Route] = {}
        for declared in routes:
            self._routes[id(declared)] = route = _declared(declared, app)
            assert isinstance(declared, APIRoute)
            methods = self._methods_of(declared)
            for method in _methods(declared):
                methods.setdefault(method, route)
            if "GET" in _methods(declared):
                methods.setdefault("HEAD", route)

    def __iter__(self) -> Iterator[tuple[str, Route]]:
        """Every (method, route)."""
        for methods in self._fixed.values():
            yield from methods.items()
        for patterns in self._patterns.values():
            for pattern in patterns:
                yield from pattern.methods.items()

    def route_of(self, declared: APIRoute) -> Route:
        """The route that was made of a declaration."""
        return self._routes[id(declared)]

    def match(self, method: str, path: str) -> tuple[Route, dict[str, str]]:
        """The route that answers a method of an address, and its parameters; also where there is none to be had."""
        methods = self._fixed.get(path)
        if methods is not None:
            return methods.get(method) or _refusing_method(methods), {}
        for pattern in self._patterns.get(path.count("/"), ()):
            parameters = pattern.parameters(path)
            if parameters is not None:
                return pattern.methods.get(method) or _refusing_method(pattern.methods), parameters
        return NOWHERE, {}

    def methods(self, path: str) -> list[str]:
        """The methods that an address knows."""
        return [method for method in _METHODS if self.match(method, path)[0].requires is not _NO_ADDRESS]

    def _methods_of(self, declared: APIRoute) -> dict[str, Route]:
        if not declared.param_convertors:
            return self._fixed.setdefault(declared.path, {})
        patterns = self._patterns.setdefault(declared.path.count("/"), [])
        for pattern in patterns:
            if pattern.of.path == declared.path:
                return pattern.methods
        patterns.append(_Pattern(declared, {}))
        return patterns[-1].methods


def _declared(route: BaseRoute, app: FastAPI) -> Route:
    if not isinstance(route, APIRoute):
        raise UndeclaredRoute(f"{route!r} would be served past the pipeline: declare its paths as routes")
    requirement = getattr(route.endpoint, "requires", None)
    if requirement is None:
        raise UndeclaredRoute(
            f"{'/'.join(_methods(route))} {route.path} does not say what it requires: decorate its endpoint"
            " with @requires(…)"
        )
    if route.include_in_schema and not route.path.startswith(
        (f"{api_version.PREFIX}/", *api_version.BY_STANDARD)
    ):
        raise UndeclaredRoute(
            f"{'/'.join(_methods(route))} {route.path} is documented without a version: its path begins with"
            f" {api_version.PREFIX}, which the routers of both APIs see to"
        )
    whole = isinstance(route, ExchangeRoute) and route.whole
    handle = route.answer if isinstance(route, ExchangeRoute) else _by_framework(route, app, requirement)
    deprecation = deprecation_of(route.endpoint)
    headers = () if deprecation is None else deprecation.headers
    immediate = getattr(route.endpoint, "immediate", None) if whole else None
    return Route(route.path, requirement, handle, whole=whole, headers=headers, immediate=immediate)


def _methods(route: APIRoute) -> list[str]:
    return sorted(route.methods or ())


def _by_framework(route: APIRoute, app: FastAPI, requirement: Requirement) -> Handler:
    """Have FastAPI solve the dependencies of an endpoint and call it."""
    answer = route.get_route_handler()

    async def handle(exchange: Exchange) -> Response:
        scope = exchange.scope
        exchange.closing = stack = AsyncExitStack()
        for name in ("fastapi_inner_astack", "fastapi_function_astack", "fastapi_middleware_astack"):
            scope[name] = stack
        scope["app"], scope["route"], scope["path_params"] = app, route, exchange.parameters
        scope[CONFINED_TO] = confined_to(exchange.principal, requirement)
        scope[KNOWN] = exchange.principal.kind != "anonymous"
        return await answer(Request(scope, exchange.receive))

    return handle


async def _answer_nowhere(exchange: Exchange) -> Response:
    raise ProblemError(
        "not-found", f"{exchange.scope['method']} {exchange.scope['path']}: there is nothing here."
    )


NOWHERE: Final = Route("(none)", _NO_ADDRESS, _answer_nowhere, whole=False)
"""The route of every address that there is not, so that it passes the same steps."""


def _refusing_method(methods: Mapping[str, Route]) -> Route:
    """The route of a method that an address does not know."""
    allowed = ", ".join(sorted(methods))
    path = next(iter(methods.values())).path

    async def refuse(exchange: Exchange) -> Response:
        method = exchange.scope["method"]
        raise ProblemError(
            "method-not-allowed", f"{path} does not know the method {method}.", headers={"allow": allowed}
        )

    return Route(path, _NO_ADDRESS, refuse, whole=False)
