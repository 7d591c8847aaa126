"""One request on its way to its answer, however it came in: what the steps of the pipeline read and note."""

import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from starlette.types import Receive, Scope

from runtime.http.principal import NOBODY, Principal
from runtime.quotas.quota import Allowance

if TYPE_CHECKING:
    from runtime.http.pipeline import Pipeline
    from runtime.http.routes import Route

Headers = list[tuple[bytes, bytes]]
"""Names in lower case."""


class Exchange:
    """A request and what the pipeline found out about it.

    `scope` and `receive` are those of ASGI; `whole` is the body where the adapter has all of it already. `code` is
    that of the problem which is answered, `about` whom it is about where that is not the caller. `is_replay`: what is
    answered was folded from the log again, as of another time.
    """

    __slots__ = (
        "about",
        "allowances",
        "closing",
        "code",
        "correlation_id",
        "headers",
        "is_replay",
        "match",
        "parameters",
        "pipeline",
        "principal",
        "receive",
        "route",
        "scope",
        "started_at",
        "whole",
    )

    pipeline: "Pipeline"
    route: "Route | None"

    def __init__(self, scope: Scope, receive: Receive, *, whole: bytes | None = None) -> None:
        self.scope = scope
        self.headers: Headers = scope["headers"]
        """The request's headers, as they came."""
        self.receive = receive
        self.whole = whole
        self.started_at = time.perf_counter()
        self.allowances: list[Allowance] = []
        """What is left of the limits that the request was counted by."""
        self.correlation_id = ""
        self.code: str | None = None
        self.about: str | None = None
        self.is_replay = False
        self.match: tuple[Route, dict[str, str]] | None = None
        """The route and its parameters, where the adapter had to find them already."""
        self.route = None
        self.parameters: dict[str, str] = {}
        self.principal: Principal = NOBODY
        self.closing: AsyncExitStack | None = None
        """Closed when the answer was delivered."""

    @property
    def address(self) -> str:
        """The address of the network that the request comes from, as far as it can be trusted."""
        return self.pipeline.address_of(self)

    def entry(self, route: "Route") -> "Exchange":
        """One command of a batch: the same caller, another route."""
        entry = Exchange(self.scope, self.receive)
        entry.pipeline = self.pipeline
        entry.correlation_id = self.correlation_id
        entry.principal = self.principal
        entry.route = route
        return entry


async def nothing_more() -> dict[str, Any]:
    """Receive what comes after a whole request: nothing, so nobody asks."""
    raise AssertionError("a whole request has no more to receive")
