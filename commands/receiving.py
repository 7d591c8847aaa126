"""Receivers: what another system says without being asked, by a route that its signature admits to, not a login."""

from collections.abc import Callable

from fastapi import APIRouter
from msgspec import Struct

from commands.dispatcher import Clock
from commands.execution import Execution
from event_store.log.fingerprints import Fingerprints
from runtime.settings import Settings


class Receiving(Struct, frozen=True, kw_only=True):
    """What a receiver records with; `installation` is that of the log."""

    settings: Settings
    execution: Execution
    fingerprints: Fingerprints
    installation: str
    clock: Clock


class Receiver(Struct, frozen=True, eq=False, kw_only=True):
    """Routes of the command API for one other system.

    `opened` gives what they find as `app.state.receivers[name]` for as long as the application serves; None: no setting
    says how the other system signs, and the routes answer that there is nothing here.
    """

    name: str
    routes: APIRouter
    opened: Callable[[Receiving], object | None]
