"""The front of the command API: a command whose path holds no parameter goes straight to its route.

Between the edge and a route lie seven layers of the framework (telemetry, body limit, two exception handlers, an exit
stack, a router that tries one route after the other), which take as long as deciding a command. A command route does
not need them: it limits its body itself, answers problems itself, and the edge catches what nobody foresaw.
"""

from collections.abc import Callable, Iterable
from typing import Any

from fastapi import FastAPI
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from commands.routing import CommandRoute


class CommandApp(FastAPI):
    """The application, documented and served by FastAPI but for its direct commands."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._direct: dict[str, CommandRoute] = {}
        self._edge: ASGIApp = super().__call__

    def serve_directly(self, routes: Iterable[BaseRoute], *, edge: Callable[[ASGIApp], ASGIApp]) -> None:
        """Serve those of the routes that are commands at a fixed path through an edge of their own."""
        for route in routes:
            if isinstance(route, CommandRoute) and not route.param_convertors:
                self._direct[route.path] = route
        self._edge = edge(self._to_route)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the application's life."""
        if scope["type"] == "http" and scope["method"] == "POST" and scope["path"] in self._direct:
            scope["app"] = self
            await self._edge(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    async def _to_route(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = self._direct[scope["path"]]
        scope["route"] = route
        scope["path_params"] = {}
        await route.app(scope, receive, send)
