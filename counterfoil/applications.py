"""Both HTTP applications, with the routes of every context that the settings name, unless others are given.

A process serves one of them, so each is imported by what makes it.
"""

from typing import TYPE_CHECKING

from counterfoil import declared
from counterfoil.context import Contexts
from runtime.http.application import PipelineApp
from runtime.settings import Settings

if TYPE_CHECKING:
    from commands.dispatcher import Clock


def command_app(
    settings: Settings, *, contexts: Contexts | None = None, clock: "Clock | None" = None
) -> PipelineApp:
    """The command API; `clock` is that of this machine unless another is given.

    Raises:
        SettingsError: there is no database to talk to, or a context cannot be had.
    """
    from commands import app as command_api

    served = contexts or declared.contexts(settings)
    with declared.fitting():
        serving = command_api.Served(
            routers=served.commands,
            receivers=served.receivers,
            processes=served.processes_of(settings),
            consumers=served.consumers,
            followers=served.followers_of(settings),
            locations=served.locations,
            declared=served.problems,
        )
    app = command_api.create_app(settings, serving, clock=clock or command_api.utc_now)
    if any((settings.google_client_id, settings.oidc_client_id, settings.facebook_client_id)):
        # Their clients speak OAuth and HTTP: imports that the others of these processes need not wait for.
        from commands.gateways.providers import configured

        app.state.providers = configured.opened
    return app


def query_app(settings: Settings, *, contexts: Contexts | None = None) -> PipelineApp:
    """The query API.

    Raises:
        SettingsError: there is no database to read from, or a context cannot be had.
    """
    from read_api import app as query_api

    served = contexts or declared.contexts(settings)
    with declared.fitting():
        queries = served.queries
    return query_api.create_app(
        settings,
        queries=queries,
        followers=served.followers_of(settings),
        declared=served.problems,
    )
