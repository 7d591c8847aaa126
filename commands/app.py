"""The command API: one application, opened on one log."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from fastapi import APIRouter, FastAPI
from msgspec import Struct
from prometheus_client import CollectorRegistry, Gauge

from commands import (
    batch,
    batch_documentation,
    effects,
    erasure_list,
    key_sweep,
    refusals,
    uploads,
)
from commands.answers import ResourceLocations
from commands.asking import Asking
from commands.dispatcher import Clock, Dispatcher
from commands.documentation import DESCRIPTION
from commands.execution import Execution
from commands.identity import (
    account_routes,
    client_routes,
    guest_routes,
    link_routes,
    oauth_routes,
    provider_routes,
    session_routes,
)
from commands.identity import providers as identity_providers
from commands.identity import startup as identity_opening
from commands.identity.recording import Recorder
from commands.identity.routing import Serving
from commands.log_access import opened
from commands.log_reading import LogReader
from commands.personal_data import KeysOfAddress, PersonalData
from commands.premises import Premises
from commands.processes.process import Process
from commands.receiving import Receiver, Receiving
from commands.settling import Settling
from commands.states import States
from event_store.consumers import checkpoints
from event_store.consumers.consumer import LogConsumer
from event_store.consumers.settling import ReactingConsumers
from event_store.log import fingerprints, reading
from event_store.log.fingerprints import Fingerprints
from runtime import api_pages, database, problem_pages, telemetry
from runtime.http import probes, problem_answers
from runtime.http.access_log import AccessLog
from runtime.http.application import PipelineApp
from runtime.http.caller_address import CallerAddresses, trusted_proxies
from runtime.http.identity import Identity, identity
from runtime.http.limiting import RequestLimits, limits_of
from runtime.http.pipeline import Refusal, Steps
from runtime.keyring import keyring as keyrings
from runtime.keyring.keyring import Keyring
from runtime.media import Media
from runtime.problem_types import ProblemType
from runtime.quotas.limiter import limiter_of
from runtime.settings import Settings, SettingsError
from runtime.telemetry import HttpMetrics, Readiness

_TOO_BUSY: Final = Refusal(refusals.too_busy())


def utc_now() -> datetime:
    """The time of this machine."""
    return datetime.now(UTC)


class Served(Struct, frozen=True, kw_only=True):
    """What the application serves of all contexts.

    `routers` are the commands of each context, those most sent first; `receivers` take in what other systems say;
    `processes` and `consumers` wait for what these record and are registered before the first route answers;
    `followers` are the consumers whose outcomes tell what came of a command; `locations` say under which address the
    query API shows the streams of a category; `declared` are the problems that contexts declare.
    """

    routers: Sequence[APIRouter]
    receivers: Sequence[Receiver]
    processes: Sequence[Process]
    consumers: Sequence[LogConsumer]
    followers: ReactingConsumers
    locations: Mapping[str, str]
    declared: Sequence[ProblemType]


def create_app(settings: Settings, served: Served, *, clock: Clock = utc_now) -> PipelineApp:
    """The application, not yet connected: that happens when the server starts it.

    Its `state.providers` opens those by which accounts log in: none, unless it is set. Its `state.readiness` answers
    /readyz; call `drain()` on it before the server is stopped.

    Raises:
        SettingsError: there is no database to talk to.
    """
    if settings.database_url is None:
        raise SettingsError("COUNTERFOIL_DATABASE_URL: the command API needs a database")
    registry = telemetry.new_registry()
    callers = identity(settings, name="command-api", registry=registry)
    limits = RequestLimits(limits_of(settings), limiter_of(settings, registry=registry))
    app = PipelineApp(
        steps=Steps(
            limit_by_address=limits.by_address,
            authenticate=callers.authenticate,
            authorise=callers.authorise,
            limit_by_principal=limits.by_principal,
            note=callers.note,
            record=callers.record,
            address_of=CallerAddresses(trusted_proxies(settings)).of,
            shed=lambda method, path: _shed(app.state.dispatcher, method, path),
        ),
        problem_of=problem_answers.problem_of,
        metrics=HttpMetrics(registry),
        access_log=AccessLog(settings.access_log),
        origins=settings.allowed_origins,
        complete=batch_documentation.complete,
        title="Counterfoil commands",
        description=DESCRIPTION,
        lifespan=_lifespan(settings, served, clock=clock, registry=registry, callers=callers),
        openapi_tags=[{"name": name} for name in _tags(served.routers)],
    )
    app.state.poller = None  # until the log has been reached
    app.state.readiness = Readiness(lambda: app.state.poller is not None and app.state.poller.answers)
    app.state.dispatcher = app.state.asking = None
    app.state.settling = None
    app.state.identity = None
    app.state.receivers = {}
    app.state.callers = callers
    app.state.limiter = limits.limiter
    app.state.providers = identity_providers.none
    problem_pages.install(app, served.declared)
    if settings.shows_api_pages:
        api_pages.install(app)
    _add_routes(app, served, registry)
    return app


def _shed(dispatcher: Dispatcher | None, method: str, path: str) -> Refusal | None:
    """Refuse commands while the queue is full: under overload most are, and must cost little.

    A batch is not refused so: it may wait longer than a command that comes alone.
    """
    if method != "POST" or dispatcher is None or dispatcher.execution.has_room() or path == batch.PATH:
        return None
    return _TOO_BUSY


def _tags(routers: Sequence[APIRouter]) -> list[str]:
    return [
        *sorted(str(tag) for router in routers for tag in router.tags),
        "batch",
        "effects",
        "identity",
        "media",
    ]


def _add_routes(app: FastAPI, served: Served, registry: CollectorRegistry) -> None:
    # Taken over one by one: an included router would keep them to itself.
    routes = [route for router in served.routers for route in router.routes]
    health = probes.router(registry, app.state.readiness)
    app.router.routes[:0] = [
        *routes,
        *batch.batch_router(routes).routes,
        *effects.router.routes,
        *uploads.router.routes,
        *session_routes.ROUTES.routes,
        *guest_routes.ROUTES.routes,
        *link_routes.ROUTES.routes,
        *oauth_routes.ROUTES.routes,
        *client_routes.ROUTES.routes,
        *provider_routes.ROUTES.routes,
        *(route for receiver in served.receivers for route in receiver.routes.routes),
        *account_routes.ROUTES.routes,
        *health.routes,
    ]


def _lifespan(
    settings: Settings, served: Served, *, clock: Clock, registry: CollectorRegistry, callers: Identity
) -> Callable[[FastAPI], contextlib.AbstractAsyncContextManager[None]]:
    assert settings.database_url is not None
    url = settings.database_url.get_secret_value()

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        made_by, installation = await asyncio.to_thread(_prepared, url, served)
        opening = opened(
            url,
            role="counterfoil_reader",
            name="command-api",
            readers=settings.database_pool_size,
            registry=registry,
        )
        async with (
            app.state.limiter.opened(),
            callers.opened(),
            opening as on,
            contextlib.AsyncExitStack() as accounts,
        ):
            _observe(registry, on.execution, on.states)
            keyring = await accounts.enter_async_context(_keyring(settings, on.reader))
            identifying = app.state.identity = await accounts.enter_async_context(
                identity_opening.served(
                    settings,
                    on,
                    callers=callers,
                    recorder=Recorder(on.execution, made_by, clock),
                    providers=app.state.providers,
                    limiter=app.state.limiter,
                    keyring=keyring,
                    registry=registry,
                )
            )
            app.state.settling = Settling(on.reader, served.followers, lambda: app.state.readiness.draining)
            app.state.dispatcher = Dispatcher(
                on.execution,
                fingerprints=made_by,
                settling=app.state.settling,
                locations=ResourceLocations(settings.public_query_api_url, served.locations),
                clock=clock,
                registry=registry,
                personal=PersonalData(keyring, _keys_of_address(identifying)),
                premises=Premises(settings, callers.guest_of),
            )
            app.state.media = Media(settings.media_folder)
            app.state.asking = Asking(on.states, poller=on.poller, clock=clock)
            receiving = Receiving(
                settings=settings,
                execution=on.execution,
                fingerprints=made_by,
                installation=installation,
                clock=clock,
            )
            app.state.receivers = {each.name: each.opened(receiving) for each in served.receivers}
            app.state.poller = on.poller
            await accounts.enter_async_context(key_sweep.running(keyring, on.reader))
            polling = asyncio.create_task(on.poller.run(), name="command-api: poller")
            try:
                yield
            finally:
                app.state.readiness.drain()
                polling.cancel()

    return lifespan


def _keys_of_address(serving: Serving | None) -> KeysOfAddress | None:
    """What knows the keys of addresses; None where nobody logs in."""
    if serving is None or serving.sessions is None:
        return None
    return serving.sessions.accounts.vault.keys_of_address


def _keyring(settings: Settings, reader: LogReader) -> contextlib.AbstractAsyncContextManager[Keyring | None]:
    """What seals personal data; None where no setting says where its keys are."""
    return keyrings.opened(
        settings, role="counterfoil_keys", name="command-api", erasures=erasure_list.read_by(reader)
    )


def _prepared(url: str, served: Served) -> tuple[Fingerprints, str]:
    """Register who waits for what routes record; what makes the fingerprints of this installation, and its id."""
    with database.connect(url, role="counterfoil_writer", name="command-api start") as connection:
        for process in served.processes:
            checkpoints.register(connection, process.name, start=process.start, kind="process")
        for consumer in served.consumers:
            checkpoints.register(connection, consumer.name, start=consumer.start)
        return fingerprints.read(connection), reading.history(connection).installation


def _observe(registry: CollectorRegistry, execution: Execution, states: States) -> None:
    waiting = Gauge("counterfoil_append_queue", "Requests that wait for the log.", registry=registry)
    waiting.set_function(lambda: execution.waiting)
    kept = Gauge("counterfoil_kept_states", "Folded states kept in this process.", registry=registry)
    kept.set_function(lambda: len(states))
