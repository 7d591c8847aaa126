"""Shops that have accounts, and yet are open to everybody, since with their settings nobody has to log in."""

from typing import Final

from domain.event import type_name
from domain.identity.events import RoleGranted, role_tag
from runtime import database
from runtime.settings import Settings

_OWNED: Final = "select exists (select from log.tag where tag = %s and type = %s)"

WARNING: Final = (
    "this shop has accounts, and every caller may do everything: set COUNTERFOIL_IDENTITY=accounts"
)


def warning(settings: Settings, url: str) -> str | None:
    """What to say about a shop whose log knows an owner where callers are anonymous; None: nothing.

    Args:
        settings: those that its APIs run with.
        url: a migrated database, which is not asked where callers log in.
    """
    if settings.identity == "accounts":
        return None
    with database.connect(url, role="counterfoil_reader", name="open shops") as connection:
        (owned,) = connection.execute(_OWNED, [role_tag("owner"), type_name(RoleGranted)]).fetchone() or (
            False,
        )
    return WARNING if owned else None
