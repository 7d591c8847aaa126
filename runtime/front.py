"""The front of an HTTP process: hot requests go from the edge straight to their route.

Between the edge and a route lie seven layers of the framework (telemetry, body limit, two exception handlers, an exit
stack, a router that tries one route after the other), which take as long as deciding a command or reading a row. The
routes that are served directly do not need them: they limit their bodies themselves, what they raise is answered by the
application's own handlers, and the edge catches what nobody foresaw.
"""

from collections.abc import Callable
from inspect import isawaitable
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

Find = Callable[[Scope], tuple[APIRoute, dict[str, str]] | None]
"""The route that serves a request directly, with its path parameters; None for all that the router is to decide."""


class FrontedApp(FastAPI):
    """The application, documented and served by FastAPI but for what it serves directly."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._find: Find = lambda _: None
        self._edge: ASGIApp  # set together with what finds something

    def serve_directly(self, find: Find, *, edge: Callable[[ASGIApp], ASGIApp]) -> None:
        """Serve what `find` finds through an edge of its own."""
        self._find = find
        self._edge = edge(self._to_route)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the application's life."""
        found = self._find(scope) if scope["type"] == "http" else None
        if found is None:
            await super().__call__(scope, receive, send)
            return
        scope["app"] = self
        scope["route"], scope["path_params"] = found
        await self._edge(scope, receive, send)

    async def _to_route(self, scope: Scope, receive: Receive, send: Send) -> None:
        route: APIRoute = scope["route"]
        try:
            await route.handle(scope, receive, send)
        except Exception as error:
            kinds = (kind for kind in type(error).__mro__ if kind in self.exception_handlers)
            kind = next(kinds, None)
            if kind is None:
                raise
            answer = self.exception_handlers[kind](Request(scope), error)
            response = await answer if isawaitable(answer) else answer
            await response(scope, receive, send)
