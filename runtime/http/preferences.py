"""The header Prefer (RFC 7240): what a caller would like, beyond what it asks for."""

import re
from collections.abc import Iterable
from typing import Final

from msgspec import Struct

WAIT_MAX_S: Final = 10
"""Longest wait that is granted; a longer one is cut to it, and `Preference-Applied` says so."""

_preference = re.compile(r"\s*([A-Za-z0-9!#$%&'*+.^_`|~-]+)\s*(?:=\s*\"?([^\";]*?)\"?\s*)?(?:;.*)?").fullmatch


class Preferences(Struct, frozen=True):
    """What of Prefer is known here: seconds to wait, what for, and how strictly; None: nothing was said."""

    wait_s: int | None = None
    until: str | None = None
    handling: str | None = None

    def applied(self, *names: str) -> str:
        """The value of Preference-Applied for those of these that were given."""
        given = {"wait": self.wait_s, "until": self.until, "handling": self.handling}
        return ", ".join(f"{name}={given[name]}" for name in names if given[name] is not None)


def preferences(values: Iterable[str]) -> Preferences:
    """The preferences in the values of all Prefer headers; the first of each counts, unknown ones are passed over."""
    found: dict[str, str] = {}
    for value in values:
        for part in value.split(","):
            if match := _preference(part):
                found.setdefault(match[1].lower(), match[2] or "")
    wait = found.get("wait", "")
    until, handling = found.get("until", "").lower(), found.get("handling", "").lower()
    return Preferences(
        wait_s=min(int(wait), WAIT_MAX_S) if wait.isascii() and wait.isdigit() and len(wait) < 10 else None,
        until=until if until == "settled" else None,
        handling=handling if handling in {"strict", "lenient"} else None,
    )
