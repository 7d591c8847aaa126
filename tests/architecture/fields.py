"""What a text field may be, so that no personal data comes to rest where nothing is erased: a rule over declarations.

A `str` in an event, in a row of a view or in the body of a request is an id type, an enumeration, a `Sealed` value or
`PublicText` with its reason. A body may besides hold a `SECRET`, which is never recorded, and personal text, which
says what it is for: it is sealed before it is recorded.
"""

from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal, NewType, get_args, get_origin, get_type_hints

import msgspec
from pydantic import BaseModel
from pydantic.fields import FieldInfo

import commands.app  # noqa: F401 - declares every payload
from commands.payloads import Payload
from domain.event import Event
from domain.sealed import Sealed
from domain.text import Personal, PublicText

BY_ALPHABET: Final = frozenset({"Sku", "Currency", "UnitPrice", "KeyedHash"})
"""Types of text besides those called `…Id` whose values nobody can be named in."""


def bare_fields(declared: type[Any]) -> Iterator[str]:
    """The fields of an event, a row or a payload that may hold anything: `OrderPlaced.country: a bare str`."""
    yield from _bare(declared, declared.__name__, (), seen=set())


def personal_fields(declared: type[Any]) -> Iterator[tuple[str, Personal]]:
    """The fields of an event, a row or a payload that hold personal data, with what is said of them."""
    for name, hint in get_type_hints(declared, include_extras=True).items():
        if name in _fields_of(declared):
            yield from ((name, each) for each in _marks(hint) if isinstance(each, Personal))
            for inside in _structs(hint):
                yield from ((f"{name}.{field}", each) for field, each in personal_fields(inside))


def public_fields(declared: type[Any]) -> Iterator[tuple[str, PublicText]]:
    """The fields of an event that hold public text, with the reason."""
    for name, hint in get_type_hints(declared, include_extras=True).items():
        if name in _fields_of(declared):
            yield from ((name, each) for each in _marks(hint) if isinstance(each, PublicText))


def payloads(of: type[BaseModel] = Payload) -> Iterator[type[BaseModel]]:
    """The bodies of requests that the product declares and that are loaded."""
    for each in of.__subclasses__():
        if each.__module__.startswith("commands."):
            yield each
        yield from payloads(each)


def _bare(hint: Any, path: str, marks: tuple[Any, ...], *, seen: set[Any]) -> Iterator[str]:
    if get_origin(hint) is Annotated:
        inner, *more = get_args(hint)
        yield from _bare(inner, path, (*marks, *more), seen=seen)
    elif _is_declared(hint) and hint is not Sealed:
        if hint not in seen:
            seen.add(hint)
            hints = get_type_hints(hint, include_extras=True)
            for name in _fields_of(hint):
                yield from _bare(hints[name], f"{hint.__name__}.{name}", _of_field(hint, name), seen=seen)
    elif get_args(hint) and get_origin(hint) is not Literal:
        for each in get_args(hint):
            yield from _bare(each, path, marks, seen=seen)
    elif fault := _fault(hint, marks):
        yield f"{path}: {fault}"


def _fault(hint: Any, marks: tuple[Any, ...]) -> str:
    """What is wrong with a type that has no parts."""
    if hint is Any or hint is object or hint is msgspec.Raw:
        return "it may be anything"
    if hint is str and not any(map(_explains, marks)):
        return "a bare str"
    if hint is Sealed and not any(isinstance(mark, Personal) for mark in marks):
        return "sealed, and nothing says what for: Annotated[Sealed, Personal(…)]"
    named = hint.__name__ if isinstance(hint, NewType) and hint.__supertype__ is str else "Id"
    return "" if named.endswith("Id") or named in BY_ALPHABET else f"{named} is no id"


def _explains(mark: Any) -> bool:
    if isinstance(mark, PublicText):
        return bool(mark.reason)
    return isinstance(mark, Personal) or (isinstance(mark, FieldInfo) and mark.exclude is True)


def _is_declared(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, msgspec.Struct | BaseModel)


def _fields_of(declared: type[Any]) -> tuple[str, ...]:
    return tuple(declared.model_fields) if issubclass(declared, BaseModel) else declared.__struct_fields__


def _of_field(declared: type[Any], name: str) -> tuple[Any, ...]:
    """What a payload says of a field where its default stands."""
    return (declared.model_fields[name],) if issubclass(declared, BaseModel) else ()


def _marks(hint: Any) -> Iterator[Any]:
    if get_origin(hint) is Annotated:
        yield from get_args(hint)[1:]
    for each in get_args(hint):
        yield from _marks(each)


def _structs(hint: Any) -> Iterator[type[msgspec.Struct]]:
    """What is nested in a field of an event or a row."""
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct) and hint is not Sealed:
        yield hint
    for each in get_args(hint):
        yield from _structs(each)


def events(types: dict[str, type[Event]]) -> list[type[Event]]:
    """The events of the product among those that are loaded."""
    return [event for event in types.values() if event.__module__.startswith("domain.")]
