"""Both HTTP applications, with the routes of every context: of the shop, unless others are given."""

import commands.app
import read_api.app
from commands.intake import Clock
from counterfoil.context import Contexts
from counterfoil.contexts import CONTEXTS
from runtime.http.application import PipelineApp
from runtime.settings import Settings


def command_app(
    settings: Settings, *, contexts: Contexts = CONTEXTS, clock: Clock = commands.app.utc_now
) -> PipelineApp:
    """The command API.

    Raises:
        SettingsError: there is no database to talk to.
    """
    return commands.app.create_app(
        settings,
        routers=contexts.commands,
        processes=contexts.processes,
        locations=contexts.locations,
        declared=contexts.problems,
        clock=clock,
    )


def query_app(settings: Settings, *, contexts: Contexts = CONTEXTS) -> PipelineApp:
    """The query API.

    Raises:
        SettingsError: there is no database to read from.
    """
    return read_api.app.create_app(settings, queries=contexts.queries, declared=contexts.problems)
