"""Where a row has personal data: found in its type, so that a view that has none is known to have none."""

import functools
from collections.abc import Iterator
from typing import Annotated, Any, Final, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct

from domain.event import EVENT_TYPES
from domain.sealed import Sealed
from domain.text import Personal
from projections.errors import DeclarationError

EACH: Final = "*"
"""The step of a path that goes to every value of a tuple, a list or a dict."""


class PersonalField(Struct, frozen=True):
    """A sealed field of a row: the steps that lead to it, its name where it was recorded, and what it is."""

    path: tuple[str, ...]
    name: str
    personal: Personal


def personal_fields(row: type[Struct], *, view: str) -> tuple[PersonalField, ...]:
    """The sealed fields of a row, also those of what is nested in it.

    Raises:
        DeclarationError: a sealed field does not say what it is for.
    """
    return tuple(_found(row, (), (), view=view))


@functools.cache
def of_event(type_name: str) -> tuple[PersonalField, ...]:
    """The sealed fields of an event; none of a type that the product does not declare."""
    event = EVENT_TYPES.get(type_name)
    return () if event is None else personal_fields(event, view=type_name)


def is_sealed(kind: Any) -> bool:
    """Whether a type is that of a sealed value."""
    return kind is Sealed


def _found(hint: Any, path: tuple[str, ...], marks: tuple[Any, ...], *, view: str) -> Iterator[PersonalField]:
    if get_origin(hint) is Annotated:
        inner, *more = get_args(hint)
        yield from _found(inner, path, (*marks, *more), view=view)
    elif hint is Sealed:
        personal = next((mark for mark in marks if isinstance(mark, Personal)), None)
        if personal is None:
            raise DeclarationError(f"view {view}: {'.'.join(path)} is sealed and declares no purpose")
        name = next(step for step in reversed(path) if step != EACH)
        yield PersonalField(path, name, personal)
    elif isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        hints = get_type_hints(hint, include_extras=True)
        for name in hint.__struct_fields__:
            yield from _found(hints[name], (*path, name), (), view=view)
    else:
        inside = (*path, EACH) if get_origin(hint) in {tuple, list, dict} else path
        for each in get_args(hint):
            yield from _found(each, inside, marks, view=view)
