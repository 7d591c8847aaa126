"""Answers of searches, from SQL: the words as they were typed first, and where nothing has them, what comes near."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct, structs
from psycopg import sql

from projections.catalogue.views import listing_search, product_search, title_word
from projections.storing import BuildId
from read_api.checkpoints import CheckpointSnapshot
from read_api.connections import AsyncConnection
from read_api.reading import tables
from read_api.reads import live
from read_api.searching import correcting, search_sql
from read_api.searching.questions import Means, Question
from read_api.searching.search_sql import Searched, select_first, select_in_order, select_rest

VIEWS: Final = (product_search.name, listing_search.name, title_word.name)
BUILDS_KEPT_MAX: Final = 8
"""Sets of builds of which it is kept whether words have an index of similarity."""

_decode_counts: Final = msgspec.json.Decoder(list[tuple[str, int]]).decode


class FoundProduct(Struct, frozen=True, kw_only=True):
    """An SKU that was found. `titles` are those of its listing, if it has one."""

    sku: str
    title: str
    listing_id: str | None
    slug: str | None
    titles: dict[str, str]
    options: dict[str, str]
    unit_price: str | None
    currency: str | None
    in_stock: bool
    created_at: datetime


class FacetCount(Struct, frozen=True):
    """How many of all that match have a facet."""

    facet: str
    count: int


class FoundProducts(Struct, frozen=True, kw_only=True):
    """A page of what was found.

    `matches` and `facets` are counted for the first page, and null on others; both are null where more than 1,000
    products match. `means` is `near` where nothing has the words as they were typed.
    """

    items: list[FoundProduct]
    next_cursor: str | None
    matches: int | None
    facets: list[FacetCount] | None
    means: Means


_NOTHING: Final = FoundProducts(items=[], next_cursor=None, matches=0, facets=[], means="words")


class Builds:
    """Builds that are searched, and whether they have an index of similarity, which no build gets later."""

    def __init__(self) -> None:
        """Nothing is known of any build."""
        self._known: dict[tuple[BuildId, ...], Searched] = {}

    async def live(self, connection: AsyncConnection, snapshot: CheckpointSnapshot) -> Searched:
        """The builds that answer now."""
        builds = tuple(live(snapshot, view).id for view in VIEWS)
        known = self._known.get(builds)
        if known is None:
            if len(self._known) >= BUILDS_KEPT_MAX:
                self._known.clear()
            known = self._known[builds] = await described(connection, *builds)
        return known


async def described(
    connection: AsyncConnection, products: BuildId, listings: BuildId, words: BuildId
) -> Searched:
    """Ask whether the build of words has an index of similarity."""
    cursor = await connection.execute(search_sql.SIMILARITY, [tables.name_of(words)])
    row = await cursor.fetchone()
    return Searched(products, listings, words, None if row is None else str(row[0]))


async def answer(connection: AsyncConnection, searched: Searched, question: Question) -> FoundProducts:
    """What is found, in the transaction that the connection is in."""
    if question.words == ():
        return _NOTHING
    await connection.execute(search_sql.SET_PLANS)
    if question.after is not None and question.means == "near":
        question = await _nearing(connection, searched, question)
    found = await _page(connection, searched, question)
    if found.items or question.words is None or question.after is not None:
        return found
    nearing = await _nearing(connection, searched, question)
    if nearing.is_as_typed:
        return found
    near = await _page(connection, searched, nearing)
    return near if near.items else found


async def _nearing(connection: AsyncConnection, searched: Searched, question: Question) -> Question:
    """The question for what comes near: for words of titles that are spelt nearly so, or else for beginnings."""
    question = structs.replace(question, means="near")
    if searched.similarity is None or question.words is None:
        return question
    alternatives = await correcting.alternatives(
        connection, question.words, words=searched.words, schema=searched.similarity
    )
    return structs.replace(question, alternatives=alternatives)


async def _page(connection: AsyncConnection, searched: Searched, question: Question) -> FoundProducts:
    if question.many and question.order != "relevance":
        return _found(question, await _rows(connection, question, select_in_order(searched, question)))
    if question.behind_all_ranked:
        return _found(question, await _rows(connection, question, select_rest(searched, question)))
    rows = await _rows(connection, question, select_first(searched, question))
    matches, facets = rows[0][-2:]
    shown = [row[:-2] for row in rows if row[0] is not None]
    if matches > search_sql.matched_max(question):
        return await _of_many(connection, searched, structs.replace(question, many=True), shown)
    if question.after is not None or matches > search_sql.FOUND_MAX:
        return _found(question, shown)
    counts = [] if facets is None else [FacetCount(*each) for each in _decode_counts(facets)]
    return structs.replace(_found(question, shown), matches=matches, facets=counts)


async def _of_many(
    connection: AsyncConnection, searched: Searched, question: Question, ranked: list[tuple[Any, ...]]
) -> FoundProducts:
    """A page of more than are counted, given what of it is ranked."""
    if question.order != "relevance":
        return await _page(connection, searched, question)
    if len(ranked) <= question.limit:
        ranked += await _rows(connection, question, select_rest(searched, question))
    return _found(question, ranked)


def _found(question: Question, rows: Sequence[tuple[Any, ...]]) -> FoundProducts:
    shown = rows[: question.limit]
    return FoundProducts(
        items=[_product(row) for row in shown],
        next_cursor=question.cursor_after(shown[-1][-1], shown[-1][0]) if len(rows) > len(shown) else None,
        matches=None,
        facets=None,
        means=question.means,
    )


async def _rows(
    connection: AsyncConnection, question: Question, statement: sql.Composed
) -> list[tuple[Any, ...]]:
    # Never prepared: a plan that is kept knows no words, and would take those that few have for those that many have.
    async with connection.cursor(binary=True) as cursor:
        await cursor.execute(statement, search_sql.given(question), prepare=False)
        return await cursor.fetchall()


def _product(row: tuple[Any, ...]) -> FoundProduct:
    sku, title, listing_id, slug, titles, options, unit_price, currency, in_stock, created_at, *_ = row
    return FoundProduct(
        sku=sku,
        title=title,
        listing_id=listing_id,
        slug=slug,
        titles=_json(titles),
        options=_json(options),
        unit_price=unit_price,
        currency=currency,
        in_stock=in_stock,
        created_at=created_at,
    )


def _json(text: str | None) -> Any:
    """Nested values are handed through as they stand in the row."""
    return {} if text is None else Raw(text.encode())
