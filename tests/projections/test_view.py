"""Declarations: what a view derives from its row type, and what it refuses at once."""

from datetime import date, datetime
from typing import Any, Literal

import msgspec
import pytest

from domain.event import Event, event_type
from projections.errors import DeclarationError
from projections.view import CachedDocument, Row, View


@event_type("declaring.thing_seen.v1")
class ThingSeen(Event, frozen=True):
    thing: str
    place: str
    parts: tuple[int, ...] = ()


@event_type("declaring.thing_missed.v1")
class ThingMissed(Event, frozen=True):
    thing: str


class Undeclared(Event, frozen=True):
    thing: str


class Detail(msgspec.Struct, frozen=True):
    size: int


class Thing(Row, frozen=True):
    thing: str
    seen: int
    kind: Literal["big", "small"]
    broken: bool | None
    first_at: datetime
    day: date
    details: tuple[Detail, ...] | None


def things(**changes: Any) -> View[Thing]:
    declared: dict[str, Any] = {"name": "things", "row": Thing, "key": ("thing",), "shape": 1}
    return View(**(declared | changes))


def test_columns_follow_the_fields_of_the_row():
    assert [(column.name, column.sql_type, column.nullable) for column in things().columns] == [
        ("thing", "text", False),
        ("seen", "bigint", False),
        ("kind", "text", False),
        ("broken", "boolean", True),
        ("first_at", "timestamptz", False),
        ("day", "date", False),
        ("details", "json", True),
    ]


def test_nested_values_are_read_back_as_they_were_declared():
    details = things().columns[-1]

    assert details.read is not None
    assert details.read('[{"size":3}]') == (Detail(size=3),)


def test_a_fold_finds_its_row_by_the_event_fields_named_in_the_key():
    view = things()

    @view.on(ThingSeen)
    def seen(row: Thing | None, event: ThingSeen) -> Thing | None:
        return row

    fold = view.folds[ThingSeen]
    assert list(fold.spread(ThingSeen(thing="a", place="b"))) == [(("a",), None)]


def test_a_fold_may_name_several_rows_of_an_event():
    view = things()

    @view.on(ThingSeen, keys=lambda event: [(event.thing,), (event.place,)])
    def seen(row: Thing | None, event: ThingSeen) -> Thing | None:
        return row

    fold = view.folds[ThingSeen]
    assert list(fold.spread(ThingSeen(thing="a", place="b"))) == [(("a",), None), (("b",), None)]


def test_a_fold_may_be_that_of_two_events():
    view = things()

    @view.on(ThingSeen, ThingMissed)
    def noted(row: Thing | None, event: ThingSeen | ThingMissed) -> Thing | None:
        return row

    assert ("declaring.thing_missed.v1", "declaring.thing_seen.v1") == view.event_types
    for event in (ThingSeen(thing="a", place="b"), ThingMissed(thing="a")):
        assert [(("a",), None)] == list(view.folds[type(event)].spread(event))


def test_a_fold_over_parts_is_called_with_each_part():
    view = things()

    @view.on_each(ThingSeen, parts=lambda event: [((event.thing,), part) for part in event.parts])
    def seen(row: Thing | None, event: ThingSeen, part: int) -> Thing | None:
        return None

    fold = view.folds[ThingSeen]
    assert list(fold.spread(ThingSeen(thing="a", place="b", parts=(1, 2)))) == [(("a",), 1), (("a",), 2)]


def test_a_view_names_the_event_types_it_folds():
    view = things()

    @view.on(ThingSeen)
    def seen(row: Thing | None, event: ThingSeen) -> Thing | None:
        return row

    assert view.event_types == ("declaring.thing_seen.v1",)


class Mutable(msgspec.Struct):
    thing: str


class MutableAgain(Row, frozen=False):  # type: ignore[misc]
    thing: str


class WithFloat(Row, frozen=True):
    thing: str
    weight: float


class WithPosition(Row, frozen=True):
    thing: str
    position: int


class WithTwoTypes(Row, frozen=True):
    thing: str
    either: int | str


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"row": Mutable}, "mutable"),
        ({"row": MutableAgain}, "mutable"),
        ({"row": WithFloat}, "'weight'"),
        ({"row": WithTwoTypes}, "'either'"),
        ({"row": WithPosition}, "'position'"),
        ({"key": ()}, "at least one"),
        ({"key": ("nothing",)}, "'nothing'"),
        ({"key": ("broken",)}, "'broken'"),
        ({"key": ("details",)}, "'details'"),
        ({"key": ("thing", "thing")}, "duplicate column"),
        ({"name": "Things"}, "'Things'"),
        ({"name": "t" * 41}, "40 characters"),
        ({"shape": 0}, "shape"),
        ({"document": "things"}, "'things'"),
        ({"document": CachedDocument("things:thing", ttl_s=0)}, "a second"),
    ],
)
def test_a_wrong_declaration_is_refused_by_name(changes, complaint):
    with pytest.raises(DeclarationError, match=complaint):
        things(**changes)


def test_an_event_without_the_key_fields_needs_keys():
    view = View(name="places", row=Thing, key=("thing", "seen"), shape=1)

    with pytest.raises(DeclarationError, match="no field 'seen'"):
        view.on(ThingSeen)


def test_an_event_has_at_most_one_fold_in_a_view():
    view = things()

    @view.on(ThingSeen)
    def seen(row: Thing | None, event: ThingSeen) -> Thing | None:
        return row

    with pytest.raises(DeclarationError, match="already"):
        view.on(ThingSeen)


def test_an_event_without_a_type_name_cannot_be_folded():
    with pytest.raises(DeclarationError, match="no type name"):
        things().on(Undeclared)
