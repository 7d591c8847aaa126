"""Who operates the command line: the actor of the events that its commands cause."""

import getpass
import re
from typing import Final

from psycopg.conninfo import conninfo_to_dict

from counterfoil import addresses
from counterfoil.user_messages import UserError
from runtime.actors import actor
from runtime.settings import Settings

UNKNOWN: Final = "unknown"
"""The system user of a process whose number has no entry in the system's list."""

_is_name = re.compile(r"[!-~]{1,64}").fullmatch


class BadName(UserError):
    """What `--as` says cannot name an operator."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name!r} is no name of an operator: write 1 to 64 visible ASCII characters")


def operator(name: str | None, *, login: str) -> str:
    """The actor `operator:<name>`; where no name is given, that of the database login and of the system's user.

    Raises:
        BadName: a log is no place for it.
    """
    return actor("operator", name_of(name, login=login))


def name_of(given: str | None, *, login: str | None) -> str:
    """The name of an operator: the one given, or the database login (where it is known) and the system's user.

    Raises:
        BadName: a log is no place for it.
    """
    if given is None:
        return f"{login}@{_system_user()}" if login else _system_user()
    if _is_name(given) is None:
        raise BadName(given)
    return given


def of_settings(settings: Settings, given: str | None) -> str:
    """The name of an operator of the installation that these settings name.

    Raises:
        BadName: a log is no place for it.
    """
    login = conninfo_to_dict(addresses.resolve(settings).database_url or "").get("user")
    return name_of(given, login=None if login is None else str(login))


def _system_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return UNKNOWN
