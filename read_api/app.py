"""The query API: one application, opened on one set of views."""

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence

from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from event_store.consumers.settling import ReactingConsumers
from event_store.proofs.tiles import Directory
from read_api import documentation, media_route, parameters, status_route
from read_api.audit import events, proofs
from read_api.audit.past import Past
from read_api.audit.proofs import Proofs
from read_api.documentation import DESCRIPTION
from read_api.errors import ReadError, TooManyReads
from read_api.reads import Reads
from read_api.routing import Queries
from read_api.searching.product_searches import ProductSearches
from runtime import api_pages, problem_pages, telemetry
from runtime.http import probes
from runtime.http.access_log import AccessLog
from runtime.http.application import PipelineApp
from runtime.http.caller_address import CallerAddresses, trusted_proxies
from runtime.http.identity import identity
from runtime.http.limiting import RequestLimits, limits_of
from runtime.http.pipeline import Steps, unrecognised
from runtime.media import Media
from runtime.problem_types import ProblemType
from runtime.problems import ProblemError
from runtime.quotas.limiter import limiter_of
from runtime.settings import Settings
from runtime.telemetry import HttpMetrics


def create_app(
    settings: Settings,
    *,
    queries: Mapping[str, Queries],
    followers: ReactingConsumers,
    declared: Sequence[ProblemType],
) -> PipelineApp:
    """The application, not yet connected: that happens when the server starts it.

    `queries` are what can be asked, by the name of the context, the most wanted first; `followers` are the consumers
    whose outcomes tell what came of a command; `declared` are the problems that contexts declare. Its `state.readiness`
    answers /readyz; call `drain()` on it before the server is stopped.

    Raises:
        SettingsError: there is no database to read from.
    """
    registry = telemetry.new_registry()
    callers = identity(settings, name="query-api", registry=registry)
    limits = RequestLimits(limits_of(settings), limiter_of(settings, registry=registry))
    reads = Reads(settings, followers=followers, registry=registry)
    past = Past(reads.url, poller=reads.poller)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with limits.limiter.opened(), reads.opened(), past.opened(), callers.opened():
            yield

    app = PipelineApp(
        steps=Steps(
            limit_by_address=limits.by_address,
            authenticate=callers.authenticate,
            authorise=callers.authorise,
            limit_by_principal=limits.by_principal,
            recognise=unrecognised if limits.count_reads else callers.recognise,
            address_of=CallerAddresses(trusted_proxies(settings)).of,
            note=callers.note,
            record=callers.record,
        ),
        problem_of=_problem_of,
        metrics=HttpMetrics(registry),
        access_log=AccessLog(settings.access_log),
        origins=settings.allowed_origins,
        complete=documentation.complete,
        title="Counterfoil queries",
        description=DESCRIPTION,
        lifespan=lifespan,
        openapi_tags=[{"name": name} for name in (*sorted(queries), "audit", "media", "operation")],
    )
    app.state.callers = callers
    app.state.reads = reads
    app.state.past = past
    app.state.searches = ProductSearches(reads)
    app.state.media = Media(settings.media_folder)
    app.state.proofs = Proofs(Directory(settings.tiles), past=past)
    app.state.readiness = reads.readiness
    includes = [include for each in queries.values() for include in each.includes]
    for context, each in queries.items():
        each.install(app, tag=context, reads=reads, past=past, includes=includes)
    _add_routes(app, registry)
    problem_pages.install(app, declared)
    if settings.shows_api_pages:
        api_pages.install(app)
    return app


def _add_routes(app: FastAPI, registry: CollectorRegistry) -> None:
    """Routes of no context."""
    health = probes.router(registry, app.state.readiness)
    for router in (events.router, proofs.router, status_route.router, media_route.router, health):
        app.router.routes.extend(router.routes)


def _problem_of(error: Exception) -> ProblemError | None:
    if isinstance(error, ReadError):
        slug = "too-busy" if isinstance(error, TooManyReads) else "view-unavailable"
        return ProblemError(slug, f"{error}.")
    return parameters.problem_of(error)
