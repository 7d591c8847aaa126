"""What a request asks of a search: words, what it is narrowed by, an order, and which page."""

import json
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Final, Literal, cast

from fastapi import Query
from msgspec import Struct, structs

from projections.catalogue.views import PRICE_SCALE
from read_api import parameters
from read_api.parameters import Limit, invalid_parameter
from runtime.pagination import MalformedCursor, decode_cursor, encode_cursor
from runtime.search_words import words_of

PATH: Final = "/product-search"

PRICE_PATTERN: Final = r"^(?:0|[1-9][0-9]{0,8})(?:\.[0-9]{1,8})?$"
"""As unit prices are written."""

WORDS_MAX: Final = 12
"""Words of a question that are searched; more are passed over."""
FACETS_MAX: Final = 10
"""Facets that one question may name."""
FACETS_CHARACTERS_MAX: Final = 1_000

OF_LISTINGS: Final = ("category:", "attribute:")
"""What facets of listings begin with; all others are of the SKU itself."""

Order = Literal["relevance", "price", "-price", "newest", "title"]
Means = Literal["words", "near"]
"""By the words as they were typed, or by what comes near to them, where nothing has them."""

UNRANKED: Final = 0
"""The place of what is not ranked, by relevance: it is behind all that is, whose place is negative."""

Alternatives = tuple[tuple[str, ...], ...]
"""For each word that was typed, what may stand for it."""

_PLACES: Final[dict[str, type]] = {
    "relevance": tuple[Means, bool, int, str],
    "price": tuple[Means, bool, int, str],
    "-price": tuple[Means, bool, int, str],
    "newest": tuple[Means, bool, datetime, str],
    "title": tuple[Means, bool, str, str],
}


@dataclass(frozen=True, kw_only=True)
class SearchParameters:
    """The parameters of a search, as they stand in the address."""

    q: Annotated[
        str | None,
        Query(
            pattern=parameters.TEXT_PATTERN,
            description="Words that a product has; the last one may be unfinished. Where nothing has them, what comes"
            " near to them is answered, and `means` says so.",
            examples=["hanging heart"],
        ),
    ] = None
    facets: Annotated[
        str | None,
        Query(
            max_length=FACETS_CHARACTERS_MAX,
            pattern=r"^[^\x00-\x1f\x7f-\x9f]+$",
            description=f"Only what has all of these, joined by commas, {FACETS_MAX} at most, as `facets` of an answer"
            " names them.",
            examples=["category:hearts,stock:in"],
        ),
    ] = None
    channel: Annotated[
        str | None,
        Query(
            pattern=parameters.ID_PATTERN,
            description="Only SKUs of listings that are shown in this channel.",
            examples=["web-uk"],
        ),
    ] = None
    currency: Annotated[
        str | None,
        Query(pattern="^[A-Z]{3}$", description="Only list prices in this currency.", examples=["GBP"]),
    ] = None
    price_min: Annotated[
        str | None,
        Query(
            pattern=PRICE_PATTERN,
            description="At least this list price; with `currency`.",
            examples=["2.50"],
        ),
    ] = None
    price_max: Annotated[
        str | None,
        Query(
            pattern=PRICE_PATTERN,
            description="At most this list price; with `currency`.",
            examples=["10"],
        ),
    ] = None
    sort: Annotated[
        Order | None,
        Query(
            description="The order: usually `relevance` where words are given, otherwise `newest`. By price with"
            " `currency`.",
            examples=["price"],
        ),
    ] = None
    limit: Limit = parameters.LIMIT_DEFAULT
    cursor: Annotated[
        str | None, Query(description="From `next_cursor` or the link to the next page; opaque.")
    ] = None


class Question(Struct, frozen=True, kw_only=True):
    """What is searched. `words` None: everything; without a word in it: nothing.

    `of_sku` and `of_listing` are facets; prices are scaled. `after` is the place of the last product of the page
    before, `means` how that was found, and `many` whether more match than are counted. Where what comes near is
    searched, `alternatives` are words that may stand for those that were typed; None: their beginnings do.
    """

    words: tuple[str, ...] | None
    of_sku: tuple[str, ...]
    of_listing: tuple[str, ...]
    channel: str | None
    currency: str | None
    price_min: int | None
    price_max: int | None
    order: Order
    limit: int
    scope: str
    means: Means = "words"
    alternatives: Alternatives | None = None
    many: bool = False
    after: tuple[Any, str] | None = None
    cursor: str | None = None

    @property
    def behind_all_ranked(self) -> bool:
        """Whether the page is behind all products that are ranked."""
        return self.order == "relevance" and self.after is not None and self.after[0] == UNRANKED

    @property
    def is_as_typed(self) -> bool:
        """Whether what comes near was looked for, and no word has anything that may stand for it."""
        return self.alternatives is not None and all(len(words) == 1 for words in self.alternatives)

    def cursor_after(self, place: object, sku: str) -> str:
        """The cursor of the page behind a product."""
        return encode_cursor((self.means, self.many, place, sku), scope=self.scope)


def question_of(given: SearchParameters) -> Question:
    """What is asked by these parameters.

    Raises:
        ProblemError: `invalid-parameter`, `malformed-cursor`.
    """
    order = _order(given)
    facets = _facets(given.facets)
    words = None if given.q is None else tuple(words_of(given.q)[:WORDS_MAX])
    asked: dict[str, Any] = {
        "words": words,
        "of_sku": tuple(each for each in facets if not each.startswith(OF_LISTINGS)),
        "of_listing": tuple(each for each in facets if each.startswith(OF_LISTINGS)),
        "channel": given.channel,
        "currency": given.currency,
        "price_min": _price("price_min", given.price_min, given),
        "price_max": _price("price_max", given.price_max, given),
        "order": order,
    }
    scope = json.dumps([PATH, asked])
    question = Question(**asked, limit=given.limit, scope=scope, cursor=given.cursor)
    return question if given.cursor is None else _continued(question, given.cursor)


def _order(given: SearchParameters) -> Order:
    if given.sort is None:
        return "newest" if given.q is None else "relevance"
    if given.sort == "relevance" and given.q is None:
        raise invalid_parameter("sort", "Without q nothing is more relevant than anything else")
    if given.sort in {"price", "-price"} and given.currency is None:
        raise invalid_parameter("sort", "Prices are compared in one currency: give currency, too")
    return given.sort


def _facets(text: str | None) -> list[str]:
    facets = sorted(set(text.split(","))) if text else []
    if len(facets) > FACETS_MAX:
        raise invalid_parameter("facets", f"A search is narrowed by {FACETS_MAX} facets at most")
    return facets


def _price(name: str, text: str | None, given: SearchParameters) -> int | None:
    if text is None:
        return None
    if given.currency is None:
        raise invalid_parameter(name, "A price is one of a currency: give currency, too")
    return int(Decimal(text) * PRICE_SCALE)


def _continued(question: Question, cursor: str) -> Question:
    try:
        place = cast("Any", _PLACES[question.order])
        means, many, place, sku = decode_cursor(cursor, scope=question.scope, place=place)
    except MalformedCursor as error:
        detail = "The cursor does not belong to this search with these words, facets and sort"
        raise parameters.malformed_cursor(detail) from error
    return structs.replace(question, means=means, many=many, after=(place, sku))
