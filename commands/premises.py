"""What a command may ask of its process besides the log: the settings, and whose the token of a guest is."""

from collections.abc import Awaitable, Callable
from typing import Final

from msgspec import Struct

from runtime.settings import Settings

GuestOf = Callable[[str], Awaitable[str | None]]
"""The guest whom a token names; None where it is none that is good now."""


async def nobody(_token: str) -> str | None:
    """No token names a guest."""
    return None


class Premises(Struct, frozen=True):
    """The settings of a process, and how it reads the tokens of guests."""

    settings: Settings | None = None
    guest_of: GuestOf = nobody


BARE: Final = Premises()
"""Where neither is asked for."""
