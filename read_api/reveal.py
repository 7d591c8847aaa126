"""The step that shows personal data, or does not: one place for every read, between what a view has and its answer.

A view without sealed fields has no such step: its bytes go through as they are. Where there are some, the principal
decides (`runtime/http/access.py`), and a program that is shown them by its key's scope leaves an event before it is.
What was opened is kept nowhere here, and such an answer is stored by nobody.
"""

import functools
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping, Sequence
from typing import Annotated, Any, Final, Literal, get_args, get_origin

import msgspec
from msgspec import Raw, Struct

from projections.personal import EACH, PersonalField, is_sealed
from projections.view import View
from read_api.masks import mask
from read_api.reading.resource import RowDict
from runtime.http import access
from runtime.http.exchange import Exchange
from runtime.http.headers import NEVER_STORED
from runtime.keyring.keyring import SealedField, Unopened

HEADERS: Final = (NEVER_STORED,)
"""Of every answer that may show personal data."""

_decode_body = msgspec.json.Decoder(dict[str, Raw]).decode
_encode = msgspec.json.Encoder().encode
_PARTS: Final = tuple[str, bytes, bytes]
"""Key id, nonce and ciphertext: the JSON of a sealed value."""


class Shown(Struct, frozen=True):
    """A personal field in an answer. `text` is there where it is plain or a mask of it.

    `sealed`: it is not for this caller. `erased`: nobody can read it any more. `unreadable`: operators find out why.
    """

    shown: Literal["plain", "mask", "sealed", "erased", "unreadable"]
    text: str | None = None


SEALED: Final = Shown("sealed")


Open = Callable[[Sequence[SealedField]], Awaitable[Sequence[str | Unopened]]]
"""Opens values, in the order given."""


class _Target(Struct):
    """A sealed value in a decoded row: where it stands, and what it is."""

    container: MutableMapping[Any, Any] | list[Any]
    step: Any
    kind: str
    found: SealedField


class SealedPlaces:
    """Sealed values in decoded rows and events, which are opened together and shown where they stood."""

    def __init__(self) -> None:
        self._targets: list[_Target] = []

    def add(self, stream: str, decoded: Any, fields: Iterable[PersonalField]) -> None:
        """Find the values of these fields in what was recorded in a stream, or folded of it."""
        for each in fields:
            for container, step in _places(decoded, each.path):
                parts = msgspec.convert(container[step], _PARTS)
                found = SealedField(stream, each.name, *parts)
                self._targets.append(_Target(container, step, each.personal.kind, found))

    async def show(self, exchange: Exchange, opening: Open | None, *, own: bool) -> None:
        """Put in their places what the caller may see; where nothing opens them, that they are sealed."""
        sight = access.sight(exchange.principal, own=own)
        if opening is None or sight == "sealed":
            for target in self._targets:
                target.container[target.step] = SEALED
            return
        texts = await opening([each.found for each in self._targets])
        for target, text in zip(self._targets, texts, strict=True):
            target.container[target.step] = _shown(text, sight, target.kind)


class Reveal:
    """The step of one view; `opening` gives what opens values now, None where no key database is configured."""

    def __init__(self, view: View[Any], opening: Callable[[], Open | None]) -> None:
        self._view = view
        self._opening = opening
        self._columns = {each.path[0] for each in view.personal}

    @property
    def hides(self) -> bool:
        """Whether there is anything to show or to hide."""
        return bool(self._columns)

    async def body(self, exchange: Exchange, body: bytes, *, own: bool, detail: str) -> bytes:
        """A document as its reader is shown it."""
        if not self._columns:
            return body
        (row,) = await self.rows(exchange, [_decode_body(body)], own=own, detail=detail)
        return _encode(row)

    async def rows(
        self, exchange: Exchange, rows: Sequence[RowDict], *, own: bool, detail: str
    ) -> Sequence[RowDict]:
        """Rows as their reader is shown them.

        Raises:
            ProblemError: `identity-unavailable`: that they are shown cannot be recorded now.
        """
        if not self._columns:
            return rows
        await self.record(exchange, own=own, detail=detail)
        return await self.shown(exchange, rows, own=own)

    async def record(self, exchange: Exchange, *, own: bool, detail: str) -> None:
        """Leave an event, where personal data is shown because of the scope of a key.

        Raises:
            ProblemError: `identity-unavailable`: it cannot be recorded now.
        """
        if self._columns and not own and access.reveals(exchange.principal):
            await exchange.pipeline.record(exchange, "revealed", detail)

    async def shown(self, exchange: Exchange, rows: Sequence[RowDict], *, own: bool) -> list[RowDict]:
        """The same where it was recorded before."""
        decoded, places = [self._decoded(row) for row in rows], SealedPlaces()
        for row in decoded:
            stream = self._view.stream_of(tuple(_text(row[name]) for name in self._view.key))
            places.add(stream, row, self._view.personal)
        await places.show(exchange, self._opening(), own=own)
        return decoded

    def _decoded(self, row: RowDict) -> RowDict:
        return {
            name: msgspec.json.decode(value) if name in self._columns and isinstance(value, Raw) else value
            for name, value in row.items()
        }


def _places(value: Any, path: tuple[str, ...]) -> Iterator[tuple[Any, Any]]:
    """Where a path leads: containers, each with the step to what is sealed; what is null is passed over."""
    step, *rest = path
    steps: Any = (step,)
    if step == EACH:
        steps = list(value) if isinstance(value, dict) else range(len(value))
    for each in steps:
        if value[each] is None:
            continue
        if rest:
            yield from _places(value[each], tuple(rest))
        else:
            yield value, each


def _shown(text: str | Unopened, sight: access.Sight, kind: str) -> Shown:
    if isinstance(text, Unopened):
        return Shown(text.value)
    return Shown("plain", text) if sight == "plain" else Shown("mask", mask(kind, text))


def _text(value: Any) -> str:
    return str(msgspec.json.decode(value) if isinstance(value, Raw) else value)


def shape_of(row: Any) -> Any:
    """The type of what is shown of a type: with `Shown` where it has sealed values."""
    if is_sealed(row):
        return Shown
    if isinstance(row, type) and issubclass(row, Struct):
        return _shape_of_struct(row)
    if get_origin(row) is Annotated:
        inner, *_ = get_args(row)
        shape = shape_of(inner)
        return row if shape is inner else shape
    parts = get_args(row)
    shapes = tuple(map(shape_of, parts))
    if get_origin(row) is Literal or all(a is b for a, b in zip(parts, shapes, strict=True)):
        return row
    return _rebuilt(row, shapes)


@functools.cache
def _shape_of_struct(row: type[Struct]) -> type[Struct]:
    shown = [(each, shape_of(each.type)) for each in msgspec.structs.fields(row)]
    if all(field.type is kind for field, kind in shown):
        return row
    fields: list[Any] = [(field.name, kind) for field, kind in shown]
    return msgspec.defstruct(row.__name__, fields, namespace={"__doc__": row.__doc__})


def _rebuilt(row: Any, shapes: tuple[Any, ...]) -> Any:
    origin = get_origin(row)
    if isinstance(origin, type) and issubclass(origin, tuple | list | dict):
        return origin[shapes]  # type: ignore[index]
    union = shapes[0]
    for each in shapes[1:]:
        union |= each
    return union
