"""Declare a list of a view's rows: by what it is narrowed, and in which orders it is read.

    ORDERS = ListOf(
        "/orders", "orders:read", order_summary,
        filters=(by_value("customer", "customer_id", …), *by_day("placed_at", noun="placed")),
        sorts=(Sort("placed_at", ("placed_at", "order_id"), filters=("customer", "from", "to"), falling=True),),
        documented=…,
    )

A list is served in pages, by ids, and whole as NDJSON or CSV. What is offered has an index in the view's `views.sql`:
`tests/architecture/test_view_plans.py` makes every combination of every declared list and checks its plan.
"""

import enum
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, time
from functools import cached_property
from types import GenericAlias
from typing import Any, Final

import msgspec
from msgspec import UNSET, Struct, UnsetType, defstruct, inspect

from projections.columns import Column
from projections.errors import DeclarationError
from projections.view import View
from read_api import parameters
from read_api.reveal import shape_of
from runtime import rfc3339
from runtime.http.principal import Owned, Requirement

INTEGER_MAX: Final = 2**63 - 1

OWNER: Final = "owner"
"""Parameter of statements whose rows are those of one owner; no filter is called so."""

_is_integer = re.compile(r"-?[0-9]{1,19}").fullmatch


class Comparison(enum.Enum):
    """How a filter compares a column with what is given."""

    EQUAL = "="
    AT_LEAST = ">="
    AT_MOST = "<="
    HAS = "?"
    """The column is a list of texts, and the text that is given is one of them."""


class Filter(Struct, frozen=True, kw_only=True):
    """One parameter that narrows a list.

    `pattern` is what a text has to be. `few`: hardly any rows have one value, so the rest of a question may be looked
    up row by row among them instead of in an index. `end_of_day`: a day stands for its last moment.
    """

    name: str
    column: str
    comparison: Comparison
    description: str
    example: Any
    pattern: str = parameters.TEXT_PATTERN
    few: bool = False
    end_of_day: bool = False


class Sort(Struct, frozen=True):
    """One order of a list, by columns that are never null and together name one row; both directions are offered.

    `filters` names those that can be combined with it. `falling`: unless asked otherwise, the highest comes first.
    """

    name: str
    columns: tuple[str, ...]
    filters: tuple[str, ...] = ()
    falling: bool = False


class Listed(Struct, frozen=True):
    """What the OpenAPI document says of a list; `page` names the type of a page, `example` is one entry."""

    operation_id: str
    page: str
    summary: str
    description: str
    example: Mapping[str, Any]
    example_ids: tuple[str, ...] = ()


class ListOf(Struct, frozen=True, dict=True, kw_only=True):
    """The rows of a view, at a path; the first sort that can be combined with the filters given is the usual one.

    `owner` is the column that says whose a row is, where the list requires `Owned`. `id_pattern` is what an id has to
    be, where rows can be asked for by ids.
    """

    path: str
    requires: Requirement
    view: View[Any]
    sorts: tuple[Sort, ...]
    filters: tuple[Filter, ...] = ()
    owner: str | None = None
    id_pattern: str = parameters.ID_PATTERN
    documented: Listed

    def __post_init__(self) -> None:
        """Check the declaration.

        Raises:
            DeclarationError: what is wrong with it, in words.
        """
        _check(self)

    @cached_property
    def own(self) -> Filter:
        """What leaves the rows of one owner alone, whatever else is asked."""
        assert self.owner is not None, "declared for what somebody owns"
        return by_value(OWNER, self.owner, description="", example="")

    @cached_property
    def by_name(self) -> dict[str, Filter]:
        """The filters by the name of their parameter."""
        return {each.name: each for each in self.filters}

    @cached_property
    def readers(self) -> dict[str, "Reader"]:
        """How the text of each filter's parameter becomes a value."""
        return {each.name: _reader(each, self.view) for each in self.filters}

    @cached_property
    def page(self) -> type[Struct]:
        """The shape of a page."""
        fields: list[Any] = [
            ("items", GenericAlias(list, (shape_of(self.view.row),))),
            ("next_cursor", str | None),
        ]
        about = "One page of a list."
        if self.takes_ids:
            fields.append(("missing", list[str] | UnsetType, UNSET))
            about += " `missing` is there when `ids` were asked for, and names those without a row."
        return defstruct(self.documented.page, fields, namespace={"__doc__": about})

    @cached_property
    def takes_ids(self) -> bool:
        """Whether rows can be asked for by ids: the key is one text."""
        return [each.sql_type for each in self.view.key_columns] == ["text"]

    @cached_property
    def is_id(self) -> Callable[[str], object]:
        """Whether a text can be the id of a row: anything but None if it can."""
        return re.compile(self.id_pattern).fullmatch

    @cached_property
    def folds_back(self) -> bool:
        """Whether a row as it was can be had from the log alone."""
        return self.view.knows_partition and self.takes_ids

    @cached_property
    def can_be_pinned(self) -> bool:
        """Whether pages can be had as of one position.

        Either rows are folded back, or the key alone decides which rows a page has, so that a page whose rows have not
        changed since is the page of then.
        """
        used = {each.column for each in self.filters} | {name for sort in self.sorts for name in sort.columns}
        return self.folds_back or used <= set(self.view.key)

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path.strip("/").replace("/", "-")


class Reader(Struct, frozen=True):
    """What a parameter takes: the schema that says so, and how its text becomes a value (ValueError: it is none)."""

    schema: Mapping[str, Any]
    read: Callable[[str], object]


def by_value(
    name: str,
    column: str,
    *,
    description: str,
    example: Any,
    pattern: str = parameters.TEXT_PATTERN,
    few: bool = False,
) -> Filter:
    """Rows whose column is what is given: of a literal one of its values, of other text what `pattern` allows."""
    return Filter(
        name=name,
        column=column,
        comparison=Comparison.EQUAL,
        description=description,
        example=example,
        pattern=pattern,
        few=few,
    )


def by_member(
    name: str, column: str, *, description: str, example: str, pattern: str = parameters.TEXT_PATTERN
) -> Filter:
    """Rows whose column, a list of texts, has the one that is given; its index is `using gin ((column::jsonb))`."""
    return Filter(
        name=name,
        column=column,
        comparison=Comparison.HAS,
        description=description,
        example=example,
        pattern=pattern,
    )


def by_day(
    column: str, *, said: str, first: str = "2026-01-01", last: str = "2026-01-31"
) -> tuple[Filter, ...]:
    """Rows from one UTC day on (`from`) and up to one (`to`), both included, by a day or a time; `said` of the rows."""
    return (
        Filter(
            name="from",
            column=column,
            comparison=Comparison.AT_LEAST,
            description=f"{said} on this UTC day or later.",
            example=first,
        ),
        Filter(
            name="to",
            column=column,
            comparison=Comparison.AT_MOST,
            description=f"{said} on this UTC day or earlier.",
            example=last,
            end_of_day=True,
        ),
    )


def by_number(column: str, *, said: str, example: int) -> tuple[Filter, ...]:
    """Rows whose number is at least, or at most, what is given; `said` names the number."""
    return (
        Filter(
            name=f"{column}_min",
            column=column,
            comparison=Comparison.AT_LEAST,
            description=f"At least so many {said}.",
            example=example,
        ),
        Filter(
            name=f"{column}_max",
            column=column,
            comparison=Comparison.AT_MOST,
            description=f"At most so many {said}.",
            example=example,
        ),
    )


def usual_sort(listed: ListOf, given: Collection[str]) -> Sort | None:
    """The first sort that can be combined with these filters."""
    return next((sort for sort in listed.sorts if set(given) <= set(sort.filters)), None)


def place_type(listed: ListOf, sort: Sort) -> GenericAlias:
    """The type of a row's place in a sort: a tuple of what its columns hold."""
    fields = {field.name: field.type for field in msgspec.structs.fields(listed.view.row)}
    return GenericAlias(tuple, tuple(fields[name] for name in sort.columns))


def _check(listed: ListOf) -> None:
    names = [each.name for each in listed.filters]
    taken = (*parameters.OF_LISTS, OWNER)
    if len({*names, *taken}) < len(names) + len(taken):
        raise DeclarationError(f"the list {listed.path}: duplicate parameter")
    if isinstance(listed.requires, Owned) is not (listed.owner is not None):
        raise DeclarationError(
            f"the list {listed.path}: rows have an owner where one's own are what is required"
        )
    if listed.owner is not None:
        _require_plain(listed, listed.owner)
    for each in listed.filters:
        if each.comparison is not Comparison.HAS:
            _require_plain(listed, each.column)
        _reader(each, listed.view)
    for sort in listed.sorts:
        _check_sort(listed, sort, names)
    if usual_sort(listed, ()) is None or any(usual_sort(listed, [name]) is None for name in names):
        raise DeclarationError(f"the list {listed.path}: it has no sort, or a filter that no sort takes")


def _check_sort(listed: ListOf, sort: Sort, names: Sequence[str]) -> None:
    for column in sort.columns:
        if _require_plain(listed, column).nullable:
            raise DeclarationError(
                f"the list {listed.path}: {column!r} may be null, so nothing is sorted by it"
            )
    if not set(listed.view.key) <= set(sort.columns):
        raise DeclarationError(f"the list {listed.path}: rows can share a place in the sort {sort.name}")
    if unknown := sorted(set(sort.filters) - set(names)):
        raise DeclarationError(
            f"the list {listed.path}: the sort {sort.name} takes unknown filters {unknown}"
        )


def _require_plain(listed: ListOf, name: str) -> Column:
    column = next((each for each in listed.view.columns if each.name == name), None)
    if column is None or column.is_json:
        raise DeclarationError(f"the list {listed.path}: {name!r} is no plain column of {listed.view.name}")
    return column


def _reader(given: Filter, view: View[Any]) -> Reader:
    kind = _kind(view, given.column)
    match _member(kind) if given.comparison is Comparison.HAS else kind:
        case inspect.LiteralType(values=values):
            return Reader({"type": "string", "enum": list(values)}, _one_of(values))
        case inspect.StrType():
            return Reader({"type": "string", "pattern": given.pattern}, _matching(given.pattern))
        case inspect.BoolType():
            return Reader({"type": "boolean"}, boolean)
        case inspect.IntType():
            bounds = {"minimum": -INTEGER_MAX, "maximum": INTEGER_MAX}
            return Reader({"type": "integer", **bounds}, _integer)
        case inspect.DateType():
            return Reader({"type": "string", "format": "date"}, rfc3339.day)
        case inspect.DateTimeType():
            moment = time.max if given.end_of_day else time.min
            return Reader(
                {"type": "string", "format": "date"},
                lambda text: datetime.combine(rfc3339.day(text), moment, tzinfo=UTC),
            )
    raise DeclarationError(f"view {view.name}: no parameter can be compared with {given.column!r}")


def _member(kind: inspect.Type) -> inspect.Type | None:
    """The type of the texts in a list; None where it is a list of anything else, or no list."""
    item = _plain(kind.item_type) if isinstance(kind, inspect.VarTupleType) else None
    return item if isinstance(item, inspect.StrType | inspect.LiteralType) else None


def _kind(view: View[Any], column: str) -> inspect.Type:
    described = inspect.type_info(view.row)
    assert isinstance(described, inspect.StructType)
    return _plain(next(field.type for field in described.fields if field.name == column))


def _plain(kind: inspect.Type) -> inspect.Type:
    """The type without what is said of it, and without its None."""
    while isinstance(kind, inspect.Metadata | inspect.UnionType):
        if isinstance(kind, inspect.Metadata):
            kind = kind.type
        else:
            kind = next(each for each in kind.types if not isinstance(each, inspect.NoneType))
    return kind


def boolean(text: str) -> bool:
    """`true` or `false`.

    Raises:
        ValueError: it is neither.
    """
    if text not in {"true", "false"}:
        raise ValueError("It is true or false")
    return text == "true"


def _integer(text: str) -> int:
    if _is_integer(text) is None or abs(int(text)) > INTEGER_MAX:
        raise ValueError("It is an integer of 64 bits")
    return int(text)


def _one_of(values: Sequence[object]) -> Callable[[str], object]:
    def read(text: str) -> str:
        if text not in values:
            raise ValueError(f"It is one of {', '.join(map(str, values))}")
        return text

    return read


def _matching(pattern: str) -> Callable[[str], object]:
    matches = re.compile(pattern).fullmatch

    def read(text: str) -> str:
        if matches(text) is None:
            raise ValueError(f"It does not match {pattern}")
        return text

    return read
