"""Declare a view: a frozen row type, the columns that are its key, and one fold per event.

A fold is a pure function `fold(row | None, event) -> row | None`: None in means that there is no such row
yet, None out that there is none any longer. Reading, batching, order, duplicates, storage and documents are
not its business.

    order_details = View(
        name="order_details", row=OrderDetails, key=("order_id",), shape=1, document="ordering:order"
    )

    @order_details.on(OrderCancelled)
    def cancelled(order: OrderDetails, event: OrderCancelled) -> OrderDetails:
        return structs.replace(order, status="cancelled", cancelled_at=event.cancelled_at)

Indexes beyond the key stand in `views.sql` next to the module of the row type, in sections headed
`-- view: <name>`, with `{table}` where the table of the build goes:
`create index on {table} (customer_id, placed_at, order_id);`.
"""

import enum
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from types import MappingProxyType
from typing import Any, ClassVar, Final, Generic, Protocol, TypeVar, cast, overload

import msgspec

from domain import event as domain_event
from domain.aggregate import SEPARATOR
from domain.event import Event
from projections import columns
from projections.columns import Column
from projections.errors import DeclarationError
from projections.personal import PersonalField, personal_fields
from runtime.documents import TTL_S

_VIEW_NAME: Final = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_DOCUMENT: Final = re.compile(r"[a-z][a-z0-9_]*:[a-z][a-z0-9_]*")
VIEW_NAME_LENGTH_MAX: Final = 40
"""Characters; with shape and build the table's name stays within Postgres' 63 bytes."""


ID_SEPARATOR: Final = "~"
"""Joins the parts of a composite key where it must be one text."""


class Row(msgspec.Struct, frozen=True, gc=False):
    """The shape of one row of a view. Its fields become columns, so they have plain types (see `columns`).

    Frozen values of plain types form no cycles, so the garbage collector need not traverse them.
    """


class Kind(enum.Enum):
    """The workers that write the rows of a view.

    KEYED: every row belongs to exactly one partition key, so workers share the partitions.
    DEFERRED: the same, a quarter of a second later, in fewer and larger steps: what no caller of a command reads next.
    GLOBAL: rows gather many keys (sums by day or customer), so one owner tails the log in its exact order.
    """

    KEYED = "keyed"
    DEFERRED = "deferred"
    GLOBAL = "global"


KEYED: Final = Kind.KEYED
DEFERRED: Final = Kind.DEFERRED
GLOBAL: Final = Kind.GLOBAL

ELSEWHERE: Final = "elsewhere"
"""The partition category of a view whose keys do not say in which partition their events are."""

Key = tuple[Any, ...]
"""Values of the key columns, in their order."""

R = TypeVar("R", bound=Row)
E = TypeVar("E", bound=Event)
E2 = TypeVar("E2", bound=Event)
P = TypeVar("P")


class Recorded(Protocol):
    """An event as it stands in the log, for the folds that need to know when it was recorded."""

    @property
    def event(self) -> Any:
        """The event in its newest shape."""

    @property
    def position(self) -> int:
        """Its position."""

    @property
    def partition_key(self) -> str:
        """The partition key of the event."""

    @property
    def recorded_at(self) -> datetime:
        """The log's own time, never a caller's."""


class CachedDocument(msgspec.Struct, frozen=True):
    """The resource of a view's documents, and for how long one stays in the cache after it was last written."""

    document: str
    ttl_s: int = TTL_S


class Fold(msgspec.Struct, frozen=True):
    """How one event type changes rows: which ones (`spread`: event -> (key, part)…) and how (`apply`).

    `apply` takes (row | None, event, part); `part` is what the event was split into, None where it is not.
    `of_record`: `spread` takes the event as `Recorded`.
    """

    event: type[Event]
    spread: Callable[[Any], Iterable[tuple[Key, Any]]]
    apply: Callable[[Any, Event, Any], Row | None]
    of_record: bool = False


class Attach(Protocol[R, E]):
    """Decorator that attaches a fold and returns it unchanged."""

    @overload
    def __call__(self, fold: Callable[[R, E], R | None]) -> Callable[[R, E], R | None]: ...
    @overload
    def __call__(self, fold: Callable[[None, E], R | None]) -> Callable[[None, E], R | None]: ...


class AttachEach(Protocol[R, E, P]):
    """Decorator that attaches a fold over the parts of an event and returns it unchanged."""

    @overload
    def __call__(self, fold: Callable[[R, E, P], R | None]) -> Callable[[R, E, P], R | None]: ...
    @overload
    def __call__(self, fold: Callable[[None, E, P], R | None]) -> Callable[[None, E, P], R | None]: ...


class View(Generic[R]):
    """One read model: what it is called, the shape of its rows, and how events become rows.

    `shape` is the version of row type and folds: raise it when either changes. `document` names the resource
    under which rows of a keyed view are also kept as JSON documents (`<service>:<resource>`), None for SQL only; a
    `CachedDocument` says how long they stay, too.
    `category` is the stream category that a keyed view's rows belong to when the row's key is the stream's id, so
    that the history of one row can be found by its key. `partition_category` is that of the streams in whose
    partition its events lie, where they declare another than their own; ELSEWHERE: the row's
    key does not say whose, as that of a payment does not say its order.
    """

    is_worklist: ClassVar[bool] = False

    def __init__(
        self,
        *,
        name: str,
        row: type[R],
        key: Sequence[str],
        shape: int,
        kind: Kind = KEYED,
        document: str | CachedDocument | None = None,
        category: str | None = None,
        partition_category: str | None = None,
    ) -> None:
        """Check the declaration.

        Raises:
            DeclarationError: what is wrong with it, in words.
        """
        kept = CachedDocument(document) if isinstance(document, str) else document
        _check_names(name, document=None if kept is None else kept.document, shape=shape)
        if kind is GLOBAL and document is not None:
            raise DeclarationError(
                f"view {name}: a document is trusted by its key's partition, and rows of a global view have none"
            )
        if kept is not None and kept.ttl_s < 1:
            raise DeclarationError(f"view {name}: a document stays for a second at least")
        if document is not None and self.is_worklist:
            raise DeclarationError(f"view {name}: a document that is gone leaves a tombstone")
        self.name = name
        self.row = row
        self.shape = shape
        self.kind = kind
        self.document = None if kept is None else kept.document
        self.document_ttl_s = TTL_S if kept is None else kept.ttl_s
        """How many seconds a document stays after it was last written."""
        self.category = category
        self._partition_category = partition_category or category
        self.knows_partition = category is not None and partition_category != ELSEWHERE
        """Whether a key says in which partition its row's events are."""
        if document is not None and partition_category == ELSEWHERE:
            raise DeclarationError(f"view {name}: a document is trusted by its key's partition")
        self.key = tuple(key)
        self.columns = columns.of_row(row, view=name)
        self.personal: tuple[PersonalField, ...] = personal_fields(row, view=name)
        if self.personal and category is None:
            raise DeclarationError(f"view {name}: personal data opens by its stream, so it needs a category")
        self.key_columns = _key_columns(self.key, self.columns, view=name)
        self.key_of = _key_getter(self.key)
        """Gets the key of a row."""
        self._folds: dict[type[Event], Fold] = {}
        self._recorded_types: frozenset[str] | None = None
        self._modules = {row.__module__}

    def __repr__(self) -> str:
        return f"View({self.name}, shape {self.shape})"

    @property
    def folds(self) -> Mapping[type[Event], Fold]:
        """The attached folds by event class."""
        return MappingProxyType(self._folds)

    @property
    def event_types(self) -> tuple[str, ...]:
        """Type names of the events that this view folds, sorted."""
        return tuple(sorted(domain_event.type_name(event) for event in self._folds))

    @property
    def recorded_types(self) -> frozenset[str]:
        """The same with the names of older versions, under which such events may be recorded, too."""
        if self._recorded_types is None:
            self._recorded_types = frozenset(
                name for event in self._folds for name in domain_event.type_names_of(event)
            )
        return self._recorded_types

    @property
    def modules(self) -> tuple[str, ...]:
        """Names of the modules in which row type and folds stand, sorted."""
        return tuple(sorted(self._modules))

    def stream_of(self, key: Key) -> str:
        """The stream whose events make the row of a key, where the view declares a category."""
        assert self.category is not None, "asked only of views whose rows are of one stream"
        return f"{self.category}{SEPARATOR}{ID_SEPARATOR.join(map(str, key))}"

    def partition_key_of(self, key: Key) -> str:
        """The partition key that the row of a key belongs to.

        Raises:
            DeclarationError: the view does not say: its rows gather many, or its keys are no ids of streams.
        """
        if self.category is None:
            raise DeclarationError(f"view {self.name} declares no category: its rows belong to no one stream")
        if not self.knows_partition:
            raise DeclarationError(
                f"view {self.name}: its keys do not say in which partition their events are"
            )
        return f"{self._partition_category}{SEPARATOR}{ID_SEPARATOR.join(map(str, key))}"

    @overload
    def on(self, event: type[E], *, keys: Callable[[E], Iterable[Key]] | None = None) -> Attach[R, E]: ...
    @overload
    def on(
        self, event: type[E], other: type[E2], *, keys: Callable[[E | E2], Iterable[Key]] | None = None
    ) -> Attach[R, E | E2]: ...
    def on(
        self,
        event: type[E],
        other: type[E2] | None = None,
        *,
        keys: Callable[[Any], Iterable[Key]] | None = None,
    ) -> Attach[R, E] | Attach[R, E | E2]:
        """Attach a fold for an event, or for two that change a row alike.

        It is called once for each key tuple that `keys(event)` gives; without `keys` once, for the row whose
        key is found in the event's fields of the same names.

        Raises:
            DeclarationError: an event has no such fields, no type name, or a fold already.
        """
        spreads: dict[type[Event], Callable[[Any], Iterable[tuple[Key, Any]]]] = {}
        for each in (event,) if other is None else (event, other):
            self._check_event(each)
            if keys is None:
                spreads[each] = _spread_by_fields(each, self.key, view=self.name)
            else:
                spreads[each] = _spread_by_keys(keys)

        def attach(fold: Callable[[Any, Any], Row | None]) -> Callable[[Any, Any], Row | None]:
            for each, spread in spreads.items():
                self._attach(
                    Fold(event=each, spread=spread, apply=lambda row, given, _part: fold(row, given))
                )
            self._stand_in(fold, keys)
            return fold

        return cast("Attach[R, E | E2]", attach)

    def on_each(
        self, event: type[E], *, parts: Callable[[E], Iterable[tuple[Key, P]]]
    ) -> AttachEach[R, E, P]:
        """Attach a fold for parts of an event: called as `fold(row, event, part)` for each (key tuple, part).

        Raises:
            DeclarationError: the event has no type name, or a fold already.
        """
        self._check_event(event)

        def attach(fold: Callable[[Any, Any, Any], Row | None]) -> Callable[[Any, Any, Any], Row | None]:
            spread = cast("Callable[[Event], Iterable[tuple[Key, Any]]]", parts)
            self._attach(Fold(event=event, spread=spread, apply=fold))
            self._stand_in(fold, parts)
            return fold

        return cast("AttachEach[R, E, P]", attach)

    def on_recorded(
        self, event: type[Event], *, parts: Callable[[Recorded], Iterable[tuple[Key, R | None]]]
    ) -> None:
        """Attach what an event makes of rows, given with when and where it was recorded: for timers, and nothing else.

        Raises:
            DeclarationError: the event has no type name, or a fold already.
        """
        self._attach(Fold(event=event, spread=parts, apply=lambda _row, _event, after: after, of_record=True))
        self._stand_in(parts)

    def _check_event(self, event: type[Event]) -> None:
        if not issubclass(event, Event):
            raise DeclarationError(f"view {self.name}: {event!r} is not an event class")
        try:
            domain_event.type_name(event)
        except KeyError:
            raise DeclarationError(
                f"view {self.name}: {event.__name__} has no type name (@event_type)"
            ) from None
        if event in self._folds:
            raise DeclarationError(f"view {self.name} has a fold for {event.__name__} already")

    def _stand_in(self, *functions: Callable[..., Any] | None) -> None:
        """Note in which modules these stand."""
        self._modules |= {each.__module__ for each in functions if each is not None}

    def _attach(self, fold: Fold) -> None:
        self._check_event(fold.event)
        self._folds[fold.event] = fold
        self._recorded_types = None


class Worklist(View[R]):
    """A view of what is left to do, read by the role that appends.

    A row that is gone leaves no tombstone, so that the view stays as small as the work; documents would need them.
    """

    is_worklist = True


def _check_names(name: str, *, document: str | None, shape: int) -> None:
    if not _VIEW_NAME.fullmatch(name) or len(name) > VIEW_NAME_LENGTH_MAX:
        raise DeclarationError(
            f"{name!r} cannot name a view: lower-case words joined by '_',"
            f" {VIEW_NAME_LENGTH_MAX} characters at most"
        )
    if shape < 1:
        raise DeclarationError(f"view {name}: shape counts from 1, not {shape}")
    if document is not None and not _DOCUMENT.fullmatch(document):
        raise DeclarationError(
            f"view {name}: document {document!r} is not '<service>:<resource>' in lower case"
        )


def _key_columns(key: Sequence[str], of_row: Sequence[Column], *, view: str) -> tuple[Column, ...]:
    by_name = {column.name: column for column in of_row}
    if not key:
        raise DeclarationError(f"view {view}: the key needs at least one column")
    if len(set(key)) != len(key):
        raise DeclarationError(f"view {view}: duplicate column in the key {tuple(key)}")
    for name in key:
        if name not in by_name:
            raise DeclarationError(f"view {view}: key column {name!r} is not a field of the row")
        if by_name[name].nullable or by_name[name].is_json:
            raise DeclarationError(f"view {view}: key column {name!r} must be plain and never None")
    return tuple(by_name[name] for name in key)


def _key_getter(key: tuple[str, ...]) -> Callable[[Row], Key]:
    get: Callable[[Row], Any] = attrgetter(*key)
    return (lambda row: (get(row),)) if len(key) == 1 else get


def _spread_by_fields(
    event: type[Event], key: tuple[str, ...], *, view: str
) -> Callable[[Event], Iterable[tuple[Key, Any]]]:
    known = set(event.__struct_fields__)
    missing = [name for name in key if name not in known]
    if missing:
        raise DeclarationError(
            f"view {view}: {event.__name__} has no field {', '.join(map(repr, missing))};"
            " say with keys= which rows it changes"
        )
    if len(key) == 1:
        (only,) = key
        return lambda event: (((getattr(event, only),), None),)
    return lambda event: ((tuple(getattr(event, name) for name in key), None),)


def _spread_by_keys(keys: Callable[[Event], Iterable[Key]]) -> Callable[[Event], Iterable[tuple[Key, Any]]]:
    return lambda event: [(key, None) for key in keys(event)]
