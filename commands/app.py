"""The command API: one application, opened on one log."""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from fastapi import APIRouter, FastAPI
from prometheus_client import CollectorRegistry, Gauge

from commands import batch, refusals
from commands.documentation import DESCRIPTION
from commands.execution import Execution
from commands.intake import Clock, Intake
from commands.log_reading import LogReader
from commands.routing import answered_directly, at_fixed_paths
from commands.states import States
from commands.watching import Watch
from event_store import fingerprints
from event_store.fingerprints import Fingerprints
from runtime import database, problem_pages, problems, telemetry
from runtime.direct import Refusal
from runtime.edge import UNMATCHED_ROUTE, Edge
from runtime.front import FrontedApp
from runtime.problem_types import ProblemType
from runtime.settings import Settings, SettingsError
from runtime.telemetry import HttpMetrics, Readiness

_BATCH_PATH: Final = batch.PATH.encode()


def utc_now() -> datetime:
    """The time of this machine."""
    return datetime.now(UTC)


def create_app(
    settings: Settings,
    *,
    routers: Sequence[APIRouter],
    locations: Mapping[str, str],
    declared: Sequence[ProblemType],
    clock: Clock = utc_now,
) -> FastAPI:
    """The application, not yet connected: that happens when the server starts it.

    `routers` are the commands of each context, those most sent first; `locations` say under which address the query
    API shows the streams of a category; `declared` are the problems that contexts declare. Its `state.readiness`
    answers /readyz; whoever stops the server calls `drain()` on it first.

    Raises:
        SettingsError: there is no database to talk to.
    """
    if settings.database_url is None:
        raise SettingsError("COUNTERFOIL_DATABASE_URL: the command API needs a database")
    registry = telemetry.new_registry()
    app = FrontedApp(
        title="Counterfoil commands",
        description=DESCRIPTION,
        lifespan=_lifespan(settings, locations=locations, clock=clock, registry=registry),
        openapi_tags=[{"name": name} for name in _tags(routers)],
        docs_url=None,  # its page loads scripts from elsewhere, which the security headers forbid
        redoc_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.watch = None  # until the log has been reached
    app.state.readiness = Readiness(lambda: app.state.watch is not None and app.state.watch.answers)
    problems.install(app)
    problem_pages.install(app, declared)
    app.state.intake = None
    metrics = HttpMetrics(registry)
    app.state.refuse = _refuse_under_overload(app, metrics)
    edge = functools.partial(Edge, metrics=metrics)
    app.add_middleware(edge)
    _add_routes(app, routers, registry)
    app.serve_directly(at_fixed_paths(app.routes), edge=edge)
    app.state.direct = answered_directly(app, metrics=metrics)
    return app


def _refuse_under_overload(app: FastAPI, metrics: HttpMetrics) -> Callable[[bytes, bytes], Refusal | None]:
    """What the server is to answer a method and target at once: under overload most are refused, and must cost little.

    A batch is not refused so: it may wait longer than a command that comes alone.
    """
    too_busy = Refusal(refusals.too_busy())

    def refuse(method: bytes, target: bytes) -> Refusal | None:
        intake = app.state.intake
        if method != b"POST" or intake is None or intake.execution.has_room():
            return None
        if target.partition(b"?")[0] == _BATCH_PATH:
            return None
        metrics.answered("POST", UNMATCHED_ROUTE, status=too_busy.status, seconds=0.0)
        return too_busy

    return refuse


def _tags(routers: Sequence[APIRouter]) -> list[str]:
    return [*sorted(str(tag) for router in routers for tag in router.tags), "batch"]


def _add_routes(app: FastAPI, routers: Sequence[APIRouter], registry: CollectorRegistry) -> None:
    # Taken over one by one, not included: an included router is matched anew for every request. Routes are tried
    # one after another, so what is asked most often stands first.
    routes = [route for router in routers for route in router.routes]
    health = telemetry.health_router(registry, app.state.readiness)
    app.router.routes[:0] = [*routes, *batch.batch_router(routes).routes, *health.routes]


def _lifespan(
    settings: Settings, *, locations: Mapping[str, str], clock: Clock, registry: CollectorRegistry
) -> Callable[[FastAPI], contextlib.AbstractAsyncContextManager[None]]:
    assert settings.database_url is not None
    url = settings.database_url.get_secret_value()

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        readers = database.pool(
            url, role="counterfoil_reader", name="command-api reader", size=settings.database_pool_size
        )
        async with readers:
            reader = LogReader(readers)
            states = States(reader)
            watch = Watch(reader, standing=await reader.standing(), on_new_epoch=states.drop_all)
            writing = Execution.open(
                url,
                name="command-api writer",
                reader=reader,
                states=states,
                watch=watch,
                registry=registry,
            )
            async with writing as execution:
                _observe(registry, execution, states)
                app.state.intake = Intake(
                    execution,
                    fingerprints=await _fingerprints(url),
                    locations=locations,
                    clock=clock,
                    registry=registry,
                )
                app.state.watch = watch
                watching = asyncio.create_task(watch.run(), name="command-api: watch")
                try:
                    yield
                finally:
                    app.state.readiness.drain()
                    watching.cancel()

    return lifespan


async def _fingerprints(url: str) -> Fingerprints:
    async with await database.connect_async(
        url, role="counterfoil_writer", name="command-api secret"
    ) as conn:
        return await fingerprints.read_async(conn)


def _observe(registry: CollectorRegistry, execution: Execution, states: States) -> None:
    waiting = Gauge("counterfoil_append_queue", "Requests that wait for the log.", registry=registry)
    waiting.set_function(lambda: execution.waiting)
    kept = Gauge("counterfoil_kept_states", "Folded states kept in this process.", registry=registry)
    kept.set_function(lambda: len(states))
