"""The query API: one application, opened on one set of views."""

import contextlib
import functools
from collections.abc import AsyncIterator, Mapping, Sequence

from fastapi import FastAPI, Request, Response
from prometheus_client import CollectorRegistry

from read_api import audit, documentation, parameters, status_route, totals
from read_api.documentation import DESCRIPTION
from read_api.errors import ReadError, TooManyReads
from read_api.reads import Reads
from read_api.routing import Queries, by_id
from runtime import problem_pages, problems, telemetry
from runtime.edge import Edge
from runtime.front import FrontedApp
from runtime.problem_types import ProblemType
from runtime.problems import ProblemError, correlation_id_of, respond
from runtime.settings import Settings
from runtime.telemetry import HttpMetrics


def create_app(
    settings: Settings, *, queries: Mapping[str, Queries], declared: Sequence[ProblemType]
) -> FastAPI:
    """The application, not yet connected: that happens when the server starts it.

    `queries` are what can be asked, by the name of the context, the most wanted first; `declared` are the problems that
    contexts declare. Its `state.readiness` answers /readyz; whoever stops the server calls `drain()` on it first.

    Raises:
        SettingsError: there is no database to read from.
    """
    registry = telemetry.new_registry()
    reads = Reads(settings, registry=registry)
    past = audit.Past(reads.url, watch=reads.watch)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with reads.opened(), past.opened():
            yield

    app = FrontedApp(
        title="Counterfoil queries",
        description=DESCRIPTION,
        lifespan=lifespan,
        openapi_tags=[{"name": name} for name in (*sorted(queries), "audit", "operation")],
        docs_url=None,  # its page loads scripts from elsewhere, which the security headers forbid
        redoc_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.reads = reads
    app.state.readiness = reads.readiness
    problems.install(app)
    parameters.install(app)
    app.add_exception_handler(ReadError, _on_read_error)
    edge = functools.partial(Edge, metrics=HttpMetrics(registry))
    app.add_middleware(edge)
    for context, each in queries.items():
        each.install(app, tag=context, reads=reads, past=past)
    _add_routes(app, registry)
    problem_pages.install(app, declared)
    documentation.install(app)
    app.serve_directly(by_id(app.routes), edge=edge)
    return app


def _add_routes(app: FastAPI, registry: CollectorRegistry) -> None:
    """Routes of no context, after theirs: the router tries one after the other."""
    health = telemetry.health_router(registry, app.state.readiness)
    for router in (audit.router, totals.router, status_route.router, health):
        app.router.routes.extend(router.routes)


async def _on_read_error(request: Request, error: Exception) -> Response:
    slug = "too-busy" if isinstance(error, TooManyReads) else "view-unavailable"
    return respond(ProblemError(slug, f"{error}."), correlation_id_of(request))
