"""The SQL of searches, composed of constants and of the names of builds; never of input.

An SKU is found by what it says of itself, or by what its listing says: ids of the listings are looked up first, so that
each half has an index.
"""

from collections.abc import Iterable
from typing import Any, Final

from msgspec import Struct
from psycopg import sql

from projections.storing import BuildId
from read_api.searching.questions import Means, Question

COUNTED_MAX: Final = 10_000
"""What matches is counted, also by facet, if it is not more than this."""
FACETS_SHOWN_MAX: Final = 100
"""Facets of an answer, those of most products first."""
BEGINNING_CHARACTERS_MIN: Final = 3
"""Letters of a word that are kept where its beginning is searched."""

NEAR_MIN: Final = "0.4"
"""How similar a word has to be, as pg_trgm counts, to stand for the one that was typed."""

SET_NEAR: Final = "select set_config('pg_trgm.word_similarity_threshold', %s, true)"

_HOLDS: Final = sql.SQL("""
select coalesce((select position from {products} where sku = ''), 0) <= %(position)s and not exists (
    select from unnest(%(skus)s::text[], %(in_stock)s::boolean[]) shown (sku, in_stock)
    join {products} t on t.sku = shown.sku where t.in_stock <> shown.in_stock
)
""")

SIMILARITY: Final = """
select n.nspname from pg_catalog.pg_index i
join pg_catalog.pg_opclass o on o.oid = any(i.indclass) and o.opcname = 'gin_trgm_ops'
join pg_catalog.pg_namespace n on n.oid = o.opcnamespace
where i.indrelid = pg_catalog.to_regclass(%s) and i.indisvalid limit 1
"""
"""The schema of pg_trgm, if a build has its index."""

_MATCHED: Final = sql.SQL("""
select t.sku, t.title, t.created_at, t.price, {relevance} as relevance,
    t.facet_list || coalesce(l.facet_list, array[]::text[]) as facets
from {products} t left join {listings} l on l.listing_id = t.listing_id and not l.deleted
where not t.deleted and t.offered and t.created_at is not null
    and (t.listing_id is null or l.shown_from <= now()){narrowed}
""")
_SHOWN: Final = sql.SQL("""
t.sku, t.title, t.listing_id, l.slug, l.titles::text, t.options::text, t.unit_price, t.currency, t.in_stock,
    t.created_at
""")
_PAGE: Final = sql.SQL("""
select {shown}, m.{place}, null::bigint, null::text
from ({matched}{behind} order by {inner_order} limit %(limit)s) m
join {products} t on t.sku = m.sku left join {listings} l on l.listing_id = t.listing_id and not l.deleted
order by {order}
""")
_COUNTS: Final = sql.SQL("""
with matched as materialized ({matched} limit {most}), counted as (select count(*) as total from matched)
select counted.total, {facets} from counted
""")
_PAGE_AND_COUNTS: Final = sql.SQL("""
with matched as materialized ({matched}), counted as (select count(*) as total from matched)
select {shown}, m.{place}, {counts}
from (select * from matched m where true{behind} order by {order} limit %(limit)s) m
join {products} t on t.sku = m.sku left join {listings} l on l.listing_id = t.listing_id and not l.deleted
cross join counted order by {order}
""")
_FACETS: Final = sql.SQL("""
case when counted.total <= {counted_max} then (
    select coalesce(json_agg(json_build_array(f.facet, f.number)), '[]')::text from (
        select facet, count(*) as number from matched cross join unnest(matched.facets) facet
        group by facet order by number desc, facet collate "C" limit {shown_max}
    ) f
) end
""")

_QUERY: Final = sql.SQL(
    "(to_tsquery('english'::regconfig, %(query)s) || to_tsquery('simple'::regconfig, %(query)s))"
)
_BEGINNINGS: Final = sql.SQL("to_tsquery('simple'::regconfig, %(query)s)")
_HAS_WORDS: Final = sql.SQL(
    " and (t.words @@ {query} or t.listing_id = any(array("
    "select s.listing_id from {listings} s where s.words @@ {query} and not s.deleted)))"
)
_RANK: Final = sql.SQL(
    "-((ts_rank({weights}::real[], t.words, {query}, 1)"
    " + 0.5 * coalesce(ts_rank({weights}::real[], l.words, {query}, 1), 0)) * 1000000)::bigint"
)
_WEIGHTS: Final = sql.Literal([0.0, 0.2, 0.6, 1.0])
"""Of nothing, of descriptions and properties (C), of SKUs (B), of titles (A)."""
_IS_NEAR: Final = sql.SQL(
    " and (t.heading operator({schema}.%%>) {word} or t.listing_id = any(array("
    "select s.listing_id from {listings} s where s.heading operator({schema}.%%>) {word} and not s.deleted)))"
)
_NEARNESS: Final = sql.SQL(
    "greatest({schema}.word_similarity({word}, t.heading), {schema}.word_similarity({word}, l.heading))"
)
_OF_SKU: Final = sql.SQL(" and t.facet_list @> %(of_sku)s::text[]")
_OF_LISTING: Final = sql.SQL(
    " and t.listing_id = any(array(select s.listing_id from {listings} s"
    " where s.facet_list @> %(of_listing)s::text[] and not s.deleted))"
)
_IN_CHANNEL: Final = sql.SQL(" and (l.channels ->> %(channel)s)::timestamptz <= now()")
_IN_CURRENCY: Final = sql.SQL(" and t.currency = %(currency)s and t.price is not null")
_AT_LEAST: Final = sql.SQL(" and t.price >= %(price_min)s")
_AT_MOST: Final = sql.SQL(" and t.price <= %(price_max)s")

_PLACES: Final = {
    "relevance": ("relevance", False),
    "price": ("price", False),
    "-price": ("price", True),
    "newest": ("created_at", True),
    "title": ("title", False),
}
"""By what each order sorts, and whether the highest comes first; relevance is negative."""


class Searched(Struct, frozen=True):
    """The builds that are searched; `similarity` is the schema of pg_trgm where they have its index."""

    products: BuildId
    listings: BuildId
    similarity: str | None

    @property
    def names(self) -> dict[str, sql.Identifier]:
        """Their tables."""
        return {
            "products": sql.Identifier("views", self.products.table),
            "listings": sql.Identifier("views", self.listings.table),
        }


def select_page(searched: Searched, question: Question) -> sql.Composed:
    """One page; the first one with words also counts what matches."""
    column, falling = _PLACES[question.order]
    parts: dict[str, Any] = {
        **searched.names,
        "matched": _matched(searched, question),
        "shown": _SHOWN,
        "place": sql.Identifier(column),
        "order": _ordered("m", column, falling=falling),
    }
    if question.words is None:
        behind = sql.SQL("") if question.after is None else _behind("t", column, falling=falling)
        return _PAGE.format(**parts, behind=behind, inner_order=_ordered("t", column, falling=falling))
    first = question.after is None
    behind = sql.SQL("") if first else _behind("m", column, falling=falling)
    counts = sql.SQL("counted.total, {}").format(_facets()) if first else sql.SQL("null::bigint, null::text")
    return _PAGE_AND_COUNTS.format(**parts, behind=behind, counts=counts)


def select_counts(searched: Searched, question: Question) -> sql.Composed:
    """How many match a question without words, and how many of them have each facet."""
    return _COUNTS.format(
        matched=_matched(searched, question), most=sql.Literal(COUNTED_MAX + 1), facets=_facets()
    )


def select_holds(products: BuildId) -> sql.Composed:
    """Whether no event of the catalogue came behind a position, and SKUs are in stock as they are said to be."""
    return _HOLDS.format(products=sql.Identifier("views", products.table))


def given(question: Question, *, similarity: bool) -> dict[str, object]:
    """The parameters of these search_sql."""
    values: dict[str, object] = {
        "of_sku": list(question.of_sku),
        "of_listing": list(question.of_listing),
        "channel": question.channel,
        "currency": question.currency,
        "price_min": question.price_min,
        "price_max": question.price_max,
        "limit": question.limit + 1,
    }
    if question.after is not None:
        values["after_place"], values["after_sku"] = question.after
    words = question.words or ()
    if question.means == "words":
        values["query"] = _typed(words)
    elif similarity:
        values |= {f"word_{number}": word for number, word in enumerate(words)}
    else:
        values["query"] = " & ".join(f"'{_beginning(word)}':*" for word in words)
    return values


def _typed(words: Iterable[str]) -> str:
    """All of these words; the last may be the beginning of one."""
    return " & ".join(f"'{word}'" for word in words) + ":*"


def _beginning(word: str) -> str:
    return word[: max(BEGINNING_CHARACTERS_MIN, len(word) * 3 // 5)]


def _matched(searched: Searched, question: Question) -> sql.Composed:
    found, relevance = _found(searched, question)
    conditions = [
        found,
        _OF_SKU if question.of_sku else None,
        _OF_LISTING.format(**searched.names) if question.of_listing else None,
        _IN_CHANNEL if question.channel is not None else None,
        _IN_CURRENCY if question.currency is not None else None,
        _AT_LEAST if question.price_min is not None else None,
        _AT_MOST if question.price_max is not None else None,
    ]
    narrowed = sql.SQL("").join([each for each in conditions if each is not None])
    return _MATCHED.format(**searched.names, narrowed=narrowed, relevance=relevance)


def _found(searched: Searched, question: Question) -> tuple[sql.Composable | None, sql.Composable]:
    """What an SKU must have, and how much of it, as a negative number."""
    if question.words is None:
        return None, sql.SQL("0::bigint")
    if question.means == "near" and searched.similarity is not None:
        return _near(searched, sql.Identifier(searched.similarity), len(question.words))
    means: dict[Means, sql.SQL] = {"words": _QUERY, "near": _BEGINNINGS}
    query = means[question.means]
    return (
        _HAS_WORDS.format(query=query, **searched.names),
        _RANK.format(query=query, weights=_WEIGHTS),
    )


def _near(searched: Searched, schema: sql.Identifier, count: int) -> tuple[sql.Composable, sql.Composable]:
    words = [sql.Placeholder(f"word_{number}") for number in range(count)]
    conditions = [_IS_NEAR.format(schema=schema, word=word, **searched.names) for word in words]
    nearness = [_NEARNESS.format(schema=schema, word=word) for word in words]
    return (
        sql.SQL("").join(conditions),
        sql.SQL("-(({}) * 1000000)::bigint").format(sql.SQL(" + ").join(nearness)),
    )


def _facets() -> sql.Composed:
    return _FACETS.format(counted_max=sql.Literal(COUNTED_MAX), shown_max=sql.Literal(FACETS_SHOWN_MAX))


def _ordered(alias: str, column: str, *, falling: bool) -> sql.Composed:
    direction = sql.SQL("{0} desc, {1} desc" if falling else "{0}, {1}")
    return direction.format(sql.Identifier(alias, column), sql.Identifier(alias, "sku"))


def _behind(alias: str, column: str, *, falling: bool) -> sql.Composed:
    sign = sql.SQL("<" if falling else ">")
    return sql.SQL(" and ({}, {}) {} (%(after_place)s, %(after_sku)s)").format(
        sql.Identifier(alias, column), sql.Identifier(alias, "sku"), sign
    )
