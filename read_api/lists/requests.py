"""What a request asks of a list: one page, the rows of some ids, or the whole list."""

import json
from collections.abc import Mapping, Sequence
from types import GenericAlias
from typing import Any, Final, cast
from urllib.parse import parse_qsl

from msgspec import Struct, structs

from read_api import parameters
from read_api.lists.declaring import OWNER, Filter, ListOf, Sort, boolean, place_type, usual_sort
from read_api.parameters import CURSOR, IDS, LIMIT, PINNED, SORT, invalid_parameter
from runtime.pagination import MalformedCursor, decode_cursor, encode_cursor

IDS_MAX: Final = 100
"""Ids in one request."""

_FALLING: Final = "-"


class Pin(Struct, frozen=True, array_like=True):
    """The position that all pages of one list are of, and the epoch in which the log had it."""

    epoch: int
    position: int


class ListQuery(Struct, frozen=True):
    """Which rows, in which order: values by the names of their filters, a sort and its direction.

    `only_of`: whose rows alone; None: everybody's.
    """

    given: Mapping[str, object]
    sort: Sort
    falling: bool
    only_of: str | None = None

    def filters(self, listed: ListOf) -> list[Filter]:
        """What narrows the list."""
        return [*own_filters(listed, self.only_of), *(listed.by_name[name] for name in self.given)]

    @property
    def values(self) -> dict[str, object]:
        """The values of these filters, as parameters of a statement."""
        return {**self.given, OWNER: self.only_of}


class Page(Struct, frozen=True):
    """One page of a list, behind the place of the last row shown before; `pin` is that of the pages before."""

    question: ListQuery
    limit: int
    pinned: bool
    after: tuple[Any, ...] | None
    pin: Pin | None
    scope: str

    def cursor(self, last: Mapping[str, object], pin: Pin | None) -> str:
        """The cursor of the next page, from the last row of this one."""
        return encode_cursor((place_of(last, self.question.sort), pin), scope=self.scope)


class ByIds(Struct, frozen=True):
    """The rows of these ids, each once; `only_of`: if they are somebody's."""

    ids: tuple[str, ...]
    only_of: str | None = None


class Whole(Struct, frozen=True):
    """All rows."""

    question: ListQuery


Asked = Page | ByIds | Whole


def own_filters(listed: ListOf, only_of: str | None) -> list[Filter]:
    """What leaves the rows of one owner alone; nothing where everybody's are wanted."""
    return [] if only_of is None else [listed.own]


def read(listed: ListOf, query: bytes, *, whole: bool, only_of: str | None = None) -> Asked:
    """What the address asks; `whole` is said by the media type that is wanted, `only_of` by who the caller is.

    Raises:
        ProblemError: `invalid-parameter`, `malformed-cursor`.
    """
    found = pairs(query)
    # Generated clients repeat the parameter, people write commas; of every other one only the first could count.
    ids = [text for name, text in found if name == IDS] if listed.takes_ids else []
    parameters.refuse_unknown(
        [pair for pair in found if pair[0] != IDS or not listed.takes_ids], known=_known(listed)
    )
    given = dict(found)
    if ids:
        return ByIds(_ids(listed, ids, given, whole=whole), only_of)
    question = structs.replace(_question(listed, given), only_of=only_of)
    if whole:
        for name in (LIMIT, CURSOR, PINNED):
            if name in given:
                raise invalid_parameter(name, f"An export is the whole list: there is no {name}")
        return Whole(question)
    return _page(listed, question, given)


def _known(listed: ListOf) -> list[str]:
    own = [*(each.name for each in listed.filters), SORT, LIMIT, CURSOR]
    return own + [PINNED] * listed.can_be_pinned + [IDS] * listed.takes_ids


def _ids(listed: ListOf, texts: Sequence[str], given: Mapping[str, str], *, whole: bool) -> tuple[str, ...]:
    if others := [name for name in given if name != IDS]:
        raise invalid_parameter(others[0], f"Ids name their rows: {others[0]} cannot be combined with {IDS}")
    if whole:
        raise invalid_parameter(IDS, "An export is the whole list; rows by ids are answered as JSON")
    named = [each for text in texts for each in text.split(",")]
    if len(named) > IDS_MAX:
        raise invalid_parameter(IDS, f"One request asks for {IDS_MAX} ids at most, not {len(named)}")
    ids = tuple(dict.fromkeys(named))
    for each in ids:
        if not listed.is_id(each):
            raise invalid_parameter(IDS, f"{each[: parameters.NAME_LENGTH_MAX]!r} cannot be an id")
    return ids


def _question(listed: ListOf, given: Mapping[str, str]) -> ListQuery:
    values = {name: _value(listed, name, text) for name, text in given.items() if name in listed.by_name}
    sort, falling = _sort(listed, given.get(SORT), list(values))
    return ListQuery(values, sort, falling)


def _value(listed: ListOf, name: str, text: str) -> object:
    try:
        return listed.readers[name].read(text)
    except ValueError as error:
        raise invalid_parameter(name, f"{error}") from error


def _sort(listed: ListOf, wanted: str | None, filters: Sequence[str]) -> tuple[Sort, bool]:
    if wanted is None:
        sort = usual_sort(listed, filters)
        if sort is None:
            raise invalid_parameter(
                filters[-1], f"No sort of this list takes {' and '.join(filters)} together"
            )
        return sort, sort.falling
    name = wanted.removeprefix(_FALLING)
    sort = next((each for each in listed.sorts if each.name == name), None)
    if sort is None:
        raise invalid_parameter(SORT, f"This list is sorted by {', '.join(sorts_of(listed))}")
    for each in filters:
        if each not in sort.filters:
            raise invalid_parameter(each, f"The sort {name} cannot be combined with {each}")
    return sort, wanted.startswith(_FALLING)


def sorts_of(listed: ListOf) -> list[str]:
    """Every value of the parameter `sort`."""
    return [text for each in listed.sorts for text in (each.name, f"{_FALLING}{each.name}")]


def _page(listed: ListOf, question: ListQuery, given: Mapping[str, str]) -> Page:
    pinned = PINNED in given and _boolean(given[PINNED])
    scope = json.dumps(
        [listed.path, question.given, question.sort.name, question.falling, pinned],
        sort_keys=True,
        default=str,
    )
    after: tuple[Any, ...] | None = None
    pin: Pin | None = None
    if CURSOR in given:
        kind = GenericAlias(tuple, (place_type(listed, question.sort), Pin | None))
        try:
            after, pin = decode_cursor(given[CURSOR], scope=scope, place=cast("Any", kind))
        except MalformedCursor as error:
            detail = "The cursor does not belong to this list with these filters, sort and pin"
            raise parameters.malformed_cursor(detail) from error
    return Page(question, _limit(given.get(LIMIT)), pinned, after, pin, scope)


def _boolean(text: str) -> bool:
    try:
        return boolean(text)
    except ValueError as error:
        raise invalid_parameter(PINNED, f"{error}") from error


def _limit(text: str | None) -> int:
    if text is None:
        return parameters.LIMIT_DEFAULT
    try:
        limit = (
            int(text)
            if text.isascii() and text.isdigit() and len(text) <= len(str(parameters.LIMIT_MAX))
            else 0
        )
    except ValueError:
        limit = 0
    if not 1 <= limit <= parameters.LIMIT_MAX:
        raise invalid_parameter(LIMIT, f"A page has 1 to {parameters.LIMIT_MAX} entries")
    return limit


def pairs(query: bytes) -> list[tuple[str, str]]:
    """The parameters of an address, as they stand there."""
    return parse_qsl(query.decode("latin-1"), keep_blank_values=True)


def place_of(row: Mapping[str, object], sort: Sort) -> tuple[object, ...]:
    """The place of a row in a sort."""
    return tuple(row[name] for name in sort.columns)
