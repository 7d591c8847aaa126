"""Every text that is recorded or shown says what it is, and a text that might be personal data is found."""

from enum import StrEnum
from typing import Annotated, Any, Literal, NewType

import msgspec
import pytest
from pydantic import Field

from commands.payloads import PERSONAL, SECRET, Id, Payload
from counterfoil.contexts import CONTEXTS
from domain.event import EVENT_TYPES, Event
from domain.ids import KeyedHash, OrderId
from domain.sealed import KeyId, Sealed
from domain.text import Personal, PublicText
from projections.view import Row
from tests.architecture.fields import bare_fields, events, payloads, personal_fields

FullName = NewType("FullName", str)
NAME = Personal("name", purpose="a test", kept="as long as a test")


def test_every_text_of_an_event_says_what_it_is():
    assert [] == [found for event in events(dict(EVENT_TYPES)) for found in bare_fields(event)]


def test_every_text_of_a_row_says_what_it_is():
    assert [] == [found for view in CONTEXTS.views for found in bare_fields(view.row)]


def test_every_text_of_a_request_says_what_it_is():
    found = {bare for payload in payloads() for bare in bare_fields(payload)}

    # The body of a batch's entry is read as the payload of its command.
    assert {"Entry.body: a bare str", "Entry.body: it may be anything"} == found


def fingerprinted(payload: type[Payload]) -> list[str]:
    """The personal members of a payload that its fingerprint would hold a hash of."""
    return [name for name, _ in personal_fields(payload) if payload.model_fields[name].exclude is not True]


def test_no_fingerprint_is_made_of_personal_data():
    class PlantedPayload(Payload):
        name: Annotated[Annotated[str, NAME] | None, PERSONAL] = None
        email: Annotated[str, NAME]

    assert [] == [(each, found) for each in payloads() if (found := fingerprinted(each))]
    assert ["email"] == fingerprinted(PlantedPayload)


class NestedText(msgspec.Struct, frozen=True):
    remark: str


class PlantedColour(StrEnum):
    RED = "red"


@pytest.mark.parametrize(
    "hint",
    [
        str,
        str | None,
        tuple[str, ...],
        dict[OrderId, str],
        dict[str, int],
        Annotated[str, msgspec.Meta(max_length=9)],
        Annotated[str, PublicText("")],
        NestedText,
        tuple[NestedText, ...] | None,
        msgspec.Raw | str,
        Any,
        Sealed,
        Sealed | None,
    ],
)
def test_a_text_that_says_nothing_is_found(hint: Any):
    for declared in (Event, Row):
        planted = msgspec.defstruct("Planted", [("field", hint)], bases=(declared,), frozen=True)

        assert list(bare_fields(planted))


@pytest.mark.parametrize(
    "hint",
    [
        OrderId,
        OrderId | None,
        KeyedHash,
        KeyId,
        Literal["red", "blue"],
        PlantedColour,
        Annotated[str, PublicText("a colour")],
        dict[OrderId, tuple[int, ...]],
        Annotated[Sealed, NAME],
        Annotated[Sealed, NAME] | None,
    ],
)
def test_a_text_that_says_what_it_is_may_stand_everywhere(hint: Any):
    for declared in (Event, Row):
        planted = msgspec.defstruct("Planted", [("field", hint)], bases=(declared,), frozen=True)

        assert [] == list(bare_fields(planted))


def test_a_name_that_is_no_id_is_found():
    class PlantedEvent(Event, frozen=True):
        name: FullName

    assert ["PlantedEvent.name: FullName is no id"] == list(bare_fields(PlantedEvent))


def test_a_request_may_hold_secrets_and_personal_text_and_nothing_that_is_only_text():
    class PlantedPayload(Payload):
        order_id: Id | None = None
        password: Annotated[str, SECRET]
        name: Annotated[str, NAME]
        note: str = Field(default="", max_length=9)

    assert ["PlantedPayload.note: a bare str"] == list(bare_fields(PlantedPayload))
