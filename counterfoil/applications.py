"""Both HTTP applications, with the routes of every context."""

from fastapi import FastAPI

import commands.app
import read_api.app
from commands.intake import Clock
from counterfoil.contexts import CONTEXTS
from runtime.settings import Settings


def command_app(settings: Settings, *, clock: Clock = commands.app.utc_now) -> FastAPI:
    """The command API.

    Raises:
        SettingsError: there is no database to talk to.
    """
    return commands.app.create_app(
        settings,
        routers=CONTEXTS.commands,
        locations=CONTEXTS.locations,
        declared=CONTEXTS.problems,
        clock=clock,
    )


def query_app(settings: Settings) -> FastAPI:
    """The query API.

    Raises:
        SettingsError: there is no database to read from.
    """
    return read_api.app.create_app(settings, queries=CONTEXTS.queries, declared=CONTEXTS.problems)
