"""Masks: enough of a personal text to tell it from others on the same screen, and too little to use it."""

from collections.abc import Callable, Mapping
from typing import Final

HIDDEN: Final = "…"


def mask(kind: str, text: str) -> str:
    """The mask of a text of this kind (`domain.text.PersonalKind`); one that is not known is hidden whole."""
    masked = _MASKS.get(kind)
    return HIDDEN if masked is None or not text else masked(text)


def _email(text: str) -> str:
    """`jane@example.com` is `j…@e….com`."""
    name, at, domain = text.rpartition("@")
    if not name or not domain:
        return HIDDEN
    host, dot, top = domain.rpartition(".")
    return f"{name[0]}{HIDDEN}{at}{(host or domain)[0]}{HIDDEN}" + (f"{dot}{top}" if host else "")


def _name(text: str) -> str:
    """`Jane Doe` is `J… D…`."""
    return " ".join(f"{word[0]}{HIDDEN}" for word in text.split()) or HIDDEN


_MASKS: Final[Mapping[str, Callable[[str], str]]] = {"email": _email, "name": _name}
