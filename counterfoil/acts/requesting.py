"""An operator's act from the command line: asked for once, then followed until something came of it.

Where an installation runs, its APIs are asked. Where nobody says where they are, the act is appended by the same
command in this process, and this process stands by to carry it out: it does where nothing else runs.
"""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol

from counterfoil import addresses, operators, runfile
from counterfoil.acts.errors import NotDone
from counterfoil.context import Contexts
from runtime.settings import Settings

if TYPE_CHECKING:
    from counterfoil.acts.on_the_log import OnTheLog
    from counterfoil.acts.over_http import OverHttp
    from read_api.operations import Act

POLL_S: Final = 0.1

STILL_WITHIN_S: Final = 60.0
"""How long an act may stand still before nobody waits for it any longer; it stays, and is carried out then."""

REQUEST_WITHIN_S: Final = 20.0
"""The same for the owner of a parked key."""


class ActsClient(Protocol):
    """A way to ask for acts."""

    def ask(self, command: str, target: str, body: dict[str, Any]) -> int:
        """Have an act appended, once; its position.

        Raises:
            Exception: it is refused, or it is not known whether it was appended; the text is for the operator.
        """
        ...

    def came_of(self, position: int) -> "Act":
        """What came of an act so far."""
        ...


def act(
    asked: ActsClient,
    command: str,
    target: str,
    *,
    within_s: float = STILL_WITHIN_S,
    on_progress: "Callable[[Act], None]" = lambda _: None,
    **body: Any,
) -> "Act":
    """Ask for an act and wait until it is done.

    Raises:
        NotDone: it failed, or stood still for `within_s`; the text says why.
    """
    position = asked.ask(command, target, {name: value for name, value in body.items() if value})
    moved_s, last = time.monotonic(), ("", 0)
    while True:
        found = asked.came_of(position)
        on_progress(found)
        if found.state == "failed":
            raise NotDone(found.outcome)
        if found.state == "done":
            return found
        if (now := (found.state, found.folded_to or 0)) != last:
            moved_s, last = time.monotonic(), now
        if time.monotonic() - moved_s > within_s:
            raise NotDone(_stands_still(found, within_s))
        time.sleep(POLL_S)


def asking(
    settings: Settings, contexts: Callable[[], Contexts], *, name: str | None
) -> "OverHttp | OnTheLog":
    """The way that the settings lead, to be opened, for an operator of this name (None: as the system knows them).

    Raises:
        addresses.NoAddress: nobody names an installation.
        operators.BadName: a log is no place for the name.
    """
    found = addresses.resolve(settings)
    operator = operators.of_settings(settings, name)
    running = runfile.read(settings.home)
    command_api = settings.command_api_url or (running and running.addresses.command_api)
    # Each way imports a good part of an API: only the one that is taken.
    if command_api:
        from counterfoil.acts.over_http import OverHttp

        assert found.query_api is not None, "settings have a host and a port for it"
        query_api = settings.query_api_url or found.query_api
        token = None if settings.token is None else settings.token.get_secret_value()
        return OverHttp(command_api, query_api, operator=operator, token=token)
    from counterfoil.acts.on_the_log import OnTheLog

    return OnTheLog(
        addresses.database_url(settings), contexts(), redis_url=found.redis_url, operator=operator
    )


def _stands_still(found: "Act", within_s: float) -> str:
    asked = f"asked (position {found.position}), but nobody acted within {within_s:.0f} s"
    stays = "The request stays and is carried out then"
    match found.kind, found.state:
        case _, "requested":
            return f"{asked}: do the projections run? {stays}"
        case "rebuild" | "promotion" | "rollback", _:
            return f"{asked}: is a projection worker running? {stays}"
        case _:
            return f"{asked}: does the owner of the key run? {stays}"
