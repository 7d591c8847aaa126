"""Payloads: what a body may hold, read strictly and straight from its bytes.

Nothing is converted (no "1" for 1, no 1.0 for 1), no member may be unknown, and none may be a duplicate.
"""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any, Final, TypeVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from domain import text
from domain.ids import ID_PATTERN, AnyId
from domain.money import UNIT_PRICE_PATTERN, validate_currency
from domain.money import Currency as DomainCurrency
from domain.money import UnitPrice as DomainUnitPrice
from domain.quantity import QUANTITY_MAX
from domain.rejection import Rejection
from runtime import problems, rfc3339
from runtime.problems import Fault, ProblemError

P = TypeVar("P", bound="Payload")

_EARLIEST: Final = datetime(1900, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(2200, 1, 1, tzinfo=UTC)


SECRET: Final = Field(exclude=True, repr=False, json_schema_extra={"writeOnly": True})
"""Marks a member that nobody may find again, such as a password: `Annotated[str, SECRET]`.

It is left out of what is fingerprinted and of every text of the payload, so the log never holds a hash of it. The same
request with another secret is therefore the same request, and is answered like the first.
"""

PERSONAL: Final = Field(exclude=True, repr=False)
"""Marks a personal member, outside of what kind it is: `Annotated[Annotated[str, Personal(…)] | None, PERSONAL]`.

Like a secret it is left out of what is fingerprinted: an outcome is kept for ever, and who has the database could try
names out on it after the customer was erased. It is sealed before it is recorded (`commands.personal_data`).
"""


class Payload(BaseModel):
    """The members of one command's body: scalars, further payloads, maps of text to any of these, and lists of them."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def _moment(given: object) -> datetime:
    """Only text is a time, and only when it is spelled as one: the framework alone would take digits for seconds."""
    try:
        moment = rfc3339.moment(given if isinstance(given, str) else "")
    except ValueError as error:
        raise PydanticCustomError("moment", str(error)) from error
    if not _EARLIEST <= moment < _LATEST:
        raise PydanticCustomError("moment", "A time is in the years 1900 to 2199")
    return moment


def _is_currency(code: str) -> DomainCurrency:
    try:
        return validate_currency(code)
    except Rejection as refusal:
        raise PydanticCustomError("currency", str(refusal).rstrip(".")) from refusal


Id = Annotated[AnyId, StringConstraints(pattern=ID_PATTERN)]
"""A client's own id; see `domain.ids`."""
ShopChannel = Annotated[text.Channel, StringConstraints(pattern=r"^[a-z0-9]{1,32}(-[a-z0-9]{1,32}){0,3}$")]
Method = Annotated[
    text.MethodRef,
    StringConstraints(min_length=1, max_length=text.REFERENCE_CHARACTERS_MAX, pattern=text.LINE_PATTERN),
]
Title = Annotated[
    text.Title,
    StringConstraints(min_length=1, max_length=text.TITLE_CHARACTERS_MAX, pattern=text.NAME_PATTERN),
]
Note = Annotated[
    text.Note, StringConstraints(max_length=text.NOTE_CHARACTERS_MAX, pattern=text.BLOCK_PATTERN)
]
Reference = Annotated[
    text.Reference, StringConstraints(max_length=text.REFERENCE_CHARACTERS_MAX, pattern=text.LINE_PATTERN)
]
Country = Annotated[
    text.Country,
    StringConstraints(min_length=1, max_length=text.COUNTRY_CHARACTERS_MAX, pattern=text.NAME_PATTERN),
]
PERSON_NAME: Final = StringConstraints(
    min_length=1, max_length=text.PERSON_CHARACTERS_MAX, pattern=text.NAME_PATTERN
)
"""How the name of somebody is written, inside of what kind of personal data it is."""
EMAIL_ADDRESS: Final = StringConstraints(
    min_length=3, max_length=text.EMAIL_CHARACTERS_MAX, pattern=text.EMAIL_PATTERN
)
POSTAL_ADDRESS: Final = StringConstraints(
    min_length=1, max_length=text.ADDRESS_CHARACTERS_MAX, pattern=text.BLOCK_PATTERN
)
Currency = Annotated[DomainCurrency, StringConstraints(pattern=r"^[A-Z]{3}$"), AfterValidator(_is_currency)]
"""ISO 4217 alphabetic code."""
CHOSEN_BY_STAFF: Final = "A UUID is made up when absent; customers and guests leave it out."
"""Describes the id of an object that is a buyer's: whether one is taken would tell of an object of somebody else."""
UnitPrice = Annotated[DomainUnitPrice, StringConstraints(pattern=UNIT_PRICE_PATTERN)]
"""Decimal text, never a number: JSON's numbers do not say how they were rounded."""
Quantity = Annotated[int, Field(ge=1, le=QUANTITY_MAX)]
Delta = Annotated[int, Field(ge=-QUANTITY_MAX, le=QUANTITY_MAX)]
Moment = Annotated[
    AwareDatetime,
    BeforeValidator(_moment),
    WithJsonSchema({"type": "string", "format": "date-time"}),  # JSON Schema has no bounds for times
]
"""A time with its offset, in the centuries that a shop can mean."""


def read(model: type[P], body: bytes) -> P:
    """The payload in a body.

    Raises:
        ProblemError: the body is not JSON, or not this payload; every fault is named by its JSON Pointer.
    """
    return read_canonical(model, body)[0]


def read_canonical(model: type[P], body: bytes) -> tuple[P, bytes]:
    """The payload in a body, and its one spelling.

    Raises:
        ProblemError: as `read`.
    """
    payload = validated(model, body)
    spelled = canonical(payload)
    # Each member has a colon, and whatever is spelled stood in the body: with no colon more, no member is a duplicate.
    # Only an escape can be spelled with a colon that the body does not show.
    if body.count(b":") != spelled.count(b":") or b"\\" in body:
        require_single(payload, body)
    return payload, spelled


def validated(model: type[P], body: bytes) -> P:
    """The payload in a body; duplicate members are not found.

    Raises:
        ProblemError: the body is not JSON, or not this payload.
    """
    try:
        payload = model.__pydantic_validator__.validate_json(body)
    except ValidationError as error:
        raise problems.from_body_errors(error.errors(include_url=False)) from None
    assert isinstance(payload, model)
    return payload


def require_single(payload: Payload, body: bytes, *, already_read: int = 0) -> None:
    """Refuse a body with a duplicate member: readers disagree on which of the two counts.

    As no unknown member is let in, the body has as many members as the payload took, and `already_read` that it
    kept as they were.

    Raises:
        ProblemError: there is a duplicate member.
    """
    members = members_of(payload) + already_read
    # Each member has a colon, and there are at least as many members as the payload took: with no colon more, none
    # is a duplicate. Colons inside of strings need the longer check.
    if body.count(b":") != members and members_in(body) != members:
        raise _twice(body)


def canonical(payload: Payload) -> bytes:
    """The payload in one spelling: order, spaces, escapes and members left out or at their default do not matter.

    Defaults are left out, so that a member added later does not change what earlier requests asked, and so are secrets.
    """
    return payload.__pydantic_serializer__.to_json(payload, exclude_defaults=True)


_strings = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"(\s*:)?', re.DOTALL).findall


def members_in(body: bytes) -> int:
    """How many members the objects in a valid JSON text have."""
    return sum(map(bool, _strings(body)))


_SCALARS: Final = frozenset((str, int, bool, float, datetime, type(None)))


def members_of(value: object) -> int:
    """How many members of objects a value was read from: its own and those of everything in it."""
    if type(value) in _SCALARS:  # most values are, and whether one is a model takes ten times as long to say
        return 0
    if isinstance(value, BaseModel):
        return len(value.__pydantic_fields_set__) + sum(map(members_of, value.__dict__.values()))
    if isinstance(value, dict):
        return len(value) + sum(map(members_of, value.values()))
    if isinstance(value, list | tuple | frozenset):
        return sum(map(members_of, value))
    return 0


def _twice(body: bytes) -> ProblemError:
    document = json.loads(body, object_pairs_hook=_Pairs)
    pointer = next(_duplicates(document, ""), "")
    fault = Fault(detail="The member is a duplicate", pointer=pointer)
    return ProblemError("malformed-json", f"The member {pointer} is a duplicate.", errors=(fault,))


class _Pairs(list[tuple[str, Any]]):
    """The members of one object, in order, duplicates included."""


def _duplicates(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, _Pairs):
        names = [name for name, _ in value]
        for name, member in value:
            pointer = path + problems.json_pointer([name])
            if names.count(name) > 1:
                yield pointer
            yield from _duplicates(member, pointer)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _duplicates(item, f"{path}/{index}")
