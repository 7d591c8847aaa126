"""Bodies of commands about listings, categories and channels.

Names of the members of a map are checked by code, not by a schema: generators of clients do not read what schemas say
of those.
"""

import re
from typing import Annotated, Final

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError

from commands.payloads import Currency, Id, Moment, Payload, Title
from domain import text
from domain.catalogue import events
from domain.catalogue.events import DiscontinuationReason
from domain.catalogue.slugs import SLUG_CHARACTERS_MAX, SLUG_PATTERN

LOCALES_MAX: Final = 20
"""Languages of one text."""

ATTRIBUTES_MAX: Final = 50
OPTIONS_MAX: Final = 10
CATEGORIES_MAX: Final = 20
"""Categories of one listing."""

DESCRIPTION_CHARACTERS_MAX: Final = 5_000
ATTRIBUTE_CHARACTERS_MAX: Final = 200
WEIGHT_G_MAX: Final = 100_000_000
"""Grams: a hundred tonnes."""

_locale = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,2}").fullmatch
_name = re.compile(text.NAME_PATTERN).fullmatch


def _is_locale(given: str) -> str:
    if _locale(given) is None:
        raise PydanticCustomError("locale", "It is a language, and perhaps a country: en or en-GB")
    return given


def _is_name(given: str) -> str:
    if len(given) > ATTRIBUTE_CHARACTERS_MAX or _name(given) is None:
        raise PydanticCustomError("name", f"It is a line of 1 to {ATTRIBUTE_CHARACTERS_MAX} characters")
    return given


Locale = Annotated[events.Locale, AfterValidator(_is_locale)]
AttributeName = Annotated[events.AttributeName, AfterValidator(_is_name)]
AttributeValue = Annotated[
    events.AttributeValue,
    StringConstraints(min_length=1, max_length=ATTRIBUTE_CHARACTERS_MAX, pattern=text.NAME_PATTERN),
]
Slug = Annotated[
    events.Slug, StringConstraints(min_length=1, max_length=SLUG_CHARACTERS_MAX, pattern=SLUG_PATTERN)
]
Titles = Annotated[dict[Locale, Title], Field(min_length=1, max_length=LOCALES_MAX)]
Descriptions = Annotated[
    dict[
        Locale,
        Annotated[
            events.Description,
            StringConstraints(
                min_length=1, max_length=DESCRIPTION_CHARACTERS_MAX, pattern=text.BLOCK_PATTERN
            ),
        ],
    ],
    Field(max_length=LOCALES_MAX),
]
TaxCategory = Annotated[events.TaxCategory, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,39}$")]
CategoryIds = Annotated[list[Id], Field(max_length=CATEGORIES_MAX, json_schema_extra={"uniqueItems": True})]
Attributes = Annotated[dict[AttributeName, AttributeValue], Field(max_length=ATTRIBUTES_MAX)]
Options = Annotated[dict[AttributeName, AttributeValue], Field(max_length=OPTIONS_MAX)]
MediaHash = Annotated[events.MediaHash, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
AltText = Annotated[
    events.AltText, StringConstraints(max_length=text.NOTE_CHARACTERS_MAX, pattern=text.LINE_PATTERN)
]


class OpenChannel(Payload):
    """Where a shop shows what it sells, and in which currency."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"channel": "web-uk", "title": "Our own site", "currency": "GBP"}}
    )

    channel: Id
    title: Title
    currency: Currency


class CreateCategory(Payload):
    """A node of the tree under which listings are found."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"category_id": "hearts", "slug": "hearts", "titles": {"en-GB": "Hearts"}}
        }
    )

    category_id: Id | None = Field(default=None, description="A UUID is made up when absent.")
    parent_id: Id | None = Field(default=None, description="At the top of the tree when absent.")
    slug: Slug
    titles: Titles


class MoveCategory(Payload):
    """The parent to be; the top of the tree when absent."""

    model_config = ConfigDict(json_schema_extra={"example": {"parent_id": None}})

    parent_id: Id | None = None


class CreateListing(Payload):
    """A product as a shop shows it. Its variants are added one by one."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "listing_id": "heart",
                "slug": "hanging-heart",
                "titles": {"en-GB": "Hanging heart"},
                "descriptions": {"en-GB": "Holds a tea light."},
                "tax_category": "standard",
                "category_ids": [],
                "attributes": {"material": "wood"},
            }
        }
    )

    listing_id: Id | None = Field(default=None, description="A UUID is made up when absent.")
    slug: Slug
    titles: Titles
    descriptions: Descriptions = Field(default={})
    tax_category: TaxCategory
    category_ids: CategoryIds = Field(default=[])
    attributes: Attributes = Field(default={})


class ReviseListing(Payload):
    """The parts that say something else from now on, each as a whole; the others stay as they are."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"titles": {"en-GB": "Hanging heart", "de": "Herz zum Aufhängen"}}}
    )

    slug: Slug | None = None
    titles: Titles | None = None
    descriptions: Descriptions | None = None
    tax_category: TaxCategory | None = None
    category_ids: CategoryIds | None = None
    attributes: Attributes | None = None


class AddVariant(Payload):
    """An SKU, and what tells it from the others."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"sku": "85123B", "options": {"colour": "red"}, "weight_g": 120}}
    )

    sku: Id
    options: Options = Field(default={})
    weight_g: Annotated[int, Field(ge=0, le=WEIGHT_G_MAX)] | None = None


class DiscontinueVariant(Payload):
    """Which variant is offered no more, and why."""

    model_config = ConfigDict(json_schema_extra={"example": {"sku": "85123A", "reason": "replaced"}})

    sku: Id
    reason: DiscontinuationReason


class AttachMedia(Payload):
    """A picture, by the SHA-256 of its bytes."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"media_id": "front", "hash": "0" * 63 + "1", "alt": "A white heart on a string"}
        }
    )

    media_id: Id
    hash: MediaHash
    alt: AltText = ""


class PublishListing(Payload):
    """Where it is shown, and from when on."""

    model_config = ConfigDict(json_schema_extra={"example": {"channel": "web-uk"}})

    channel: Id
    starts_at: Moment | None = Field(default=None, description="At once when absent.")


class UnpublishListing(Payload):
    """Where it is shown no more."""

    model_config = ConfigDict(json_schema_extra={"example": {"channel": "web-uk"}})

    channel: Id


class ArchiveListing(Payload):
    """Nothing needs to be said."""

    model_config = ConfigDict(json_schema_extra={"example": {}})
