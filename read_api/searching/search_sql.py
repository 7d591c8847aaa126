"""The SQL of searches, composed of constants and of the names of builds; never of input.

An SKU is found by what it says of itself, or by what its listing says: ids of the listings are looked up first, so that
each half has an index.
"""

from collections.abc import Iterable
from typing import Final

from msgspec import Struct
from psycopg import sql

from projections.storing import BuildId
from read_api.searching.questions import UNRANKED, Alternatives, Question

FOUND_MAX: Final = 1_000
"""As many matches are counted, also by facet, and ranked; of more only these are ranked, and all others come behind."""
SORTED_MAX: Final = 2_000
"""As many matches are sorted by price, age or title; more are read from the index of that order.

Reading an index in its order may take most of it: titles that begin with one colour stand together.
"""
FACETS_SHOWN_MAX: Final = 100
"""Facets of an answer, those of most products first."""
BEGINNING_CHARACTERS_MIN: Final = 3
"""Letters of a word that are kept where its beginning is searched."""

SET_PLANS: Final = """
select set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true),
    set_config('enable_mergejoin', 'off', true), set_config('random_page_cost', '1.1', true),
    set_config('cpu_operator_cost', '0.03', true), set_config('max_parallel_workers_per_gather', '0', true)
"""
"""All that is read is bounded, so it is looked up row by row: whole tables are read for nothing but whole answers.

To the planner comparing a text vector costs as much as comparing two integers; it is twelve times that.
"""

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
"""The schema of pg_trgm, if the build of words has its index."""

_MATCHED: Final = sql.SQL("""
from {products} t left join {listings} l on l.listing_id = t.listing_id and not l.deleted
where not t.deleted and t.offered and t.created_at is not null
    and (t.listing_id is null or l.shown_from <= now()){narrowed}
""")
_SHOWN: Final = sql.SQL("""
t.sku, t.title, t.listing_id, l.slug, l.titles::text, t.options::text, t.unit_price, t.currency, t.in_stock,
    t.created_at, page.place
""")
_FIRST: Final = sql.SQL("""
with matched as materialized (
    select * from ({found}) found ({columns}) limit {matched_max} + 1
), counted as materialized (select count(*) as total from matched), placed as (
    select sku, {place} as place from matched
), page as materialized (
    select row_number() over (order by {order}) as number, sku, place from placed where true{behind}
    order by {order} limit %(limit)s
)
select {shown}, counted.total, case when page.number = 1 and counted.total <= {found_max} then ({facets}) end
from counted left join page on true
left join {products} t on t.sku = page.sku left join {listings} l on l.listing_id = t.listing_id and not l.deleted
order by page.number
""")
"""What matches is found once: for its number, its facets and the page."""
_FACETS: Final = sql.SQL("""
select coalesce(json_agg(json_build_array(f.facet, f.number)), '[]')::text from (
    select facet, sum(number)::bigint as number from (
        select of_sku as facets, count(*) as number from matched group by of_sku
        union all select of_listing, count(*) from matched group by of_listing
    ) sets cross join unnest(string_to_array(sets.facets, E'\\n')) facet
    group by facet order by number desc, facet collate "C" limit {shown_max}
) f
""")
"""Rows that have the same facets are counted as one: there are few different sets of them."""
_IN_ORDER: Final = sql.SQL("""
select {shown} from (
    select t.sku, t.{column} as place {matched}{behind} order by {order} limit %(limit)s
) page
join {products} t on t.sku = page.sku left join {listings} l on l.listing_id = t.listing_id and not l.deleted
order by {page_order}
""")
_REST: Final = sql.SQL("""
with ranked as materialized (select sku from ({found}) found (sku) limit {found_max} + 1)
select {shown} from (
    select t.sku, {unranked}::bigint as place {matched} and t.sku not in (select sku from ranked){behind}
    order by t.sku limit %(limit)s
) page
join {products} t on t.sku = page.sku left join {listings} l on l.listing_id = t.listing_id and not l.deleted
order by page.sku
""")

_ENGLISH: Final = sql.SQL("to_tsquery('english'::regconfig, %(query)s)")
_BEGINNINGS: Final = sql.SQL("to_tsquery('simple'::regconfig, %(query)s)")
_QUERY: Final = sql.SQL(
    "(case when {english} = {simple} then {simple} else {english} || {simple} end)"
).format(english=_ENGLISH, simple=_BEGINNINGS)
"""Planned as a constant. What is asked twice is looked up twice, so words that have no other form are asked once."""
_BY_ITS_TITLE: Final = sql.SQL(" and ts_filter(t.words, '{{a}}') @@ {query}")
_BY_ITS_WORDS: Final = sql.SQL(" and t.words @@ {query} and not ts_filter(t.words, '{{a}}') @@ {query}")
_BY_ITS_LISTING: Final = sql.SQL(" and l.words @@ {query} and not t.words @@ {query}")
"""Each has an index. Titles come first: of very many matches no others are ranked."""
_HAS_WORDS: Final = sql.SQL(
    " and (t.words @@ {query} or t.listing_id in"
    " (select s.listing_id from {listings} s where s.words @@ {query} and not s.deleted))"
)
_RANK: Final = sql.SQL(
    "least(-((ts_rank({weights}::real[], words, {query}, 1)"
    " + 0.5 * coalesce(ts_rank({weights}::real[], words_of_listing, {query}, 1), 0)) * 1000000)::bigint, -1)"
)
_WEIGHTS: Final = sql.Literal([0.0, 0.2, 0.6, 1.0])
"""Of nothing, of descriptions and properties (C), of SKUs (B), of titles (A)."""
_OF_SKU: Final = sql.SQL(" and t.facet_list @> %(of_sku)s::text[]")
_OF_LISTING: Final = sql.SQL(" and l.facet_list @> %(of_listing)s::text[]")
_IN_CHANNEL: Final = sql.SQL(
    " and l.channels::jsonb ? %(channel)s and (l.channels ->> %(channel)s)::timestamptz <= now()"
)
"""Few listings may be in a channel, or none: the first condition has an index, the second says from when."""
_IN_CURRENCY: Final = sql.SQL(" and t.currency = %(currency)s and t.price is not null")
_AT_LEAST: Final = sql.SQL(" and t.price >= %(price_min)s")
_AT_MOST: Final = sql.SQL(" and t.price <= %(price_max)s")

_PLACES: Final = {
    "relevance": ("place", False),
    "price": ("price", False),
    "-price": ("price", True),
    "newest": ("created_at", True),
    "title": ("title", False),
}
"""By what each order sorts, and whether the highest comes first; relevance is negative."""


_BEHIND: Final = sql.SQL(" and ({}, {}) {sign} (%(after_place)s, %(after_sku)s)")


class Searched(Struct, frozen=True):
    """The builds that are searched; `similarity` is the schema of pg_trgm where that of words has its index."""

    products: BuildId
    listings: BuildId
    words: BuildId
    similarity: str | None

    @property
    def names(self) -> dict[str, sql.Identifier]:
        """Their tables."""
        return {
            "products": sql.Identifier("views", self.products.table),
            "listings": sql.Identifier("views", self.listings.table),
        }


def matched_max(question: Question) -> int:
    """How many matches are found for an answer; what more there are is read from an index."""
    return FOUND_MAX if question.order == "relevance" else SORTED_MAX


def select_first(searched: Searched, question: Question) -> sql.Composed:
    """One page of what is found first, each row with its place, how many that is, and, in the first, facets as JSON.

    If more match than `matched_max`, their number is one more than that. Of more than are counted there are no facets.
    """
    name, falling = _PLACES[question.order]
    ranked = question.order == "relevance"
    placed_by = sql.SQL("t.words, l.words") if ranked else sql.SQL("t.{}").format(sql.Identifier(name))
    shown_max = sql.Literal(FACETS_SHOWN_MAX)
    return _FIRST.format(
        found=_found(searched, question, sql.SQL("t.sku, t.facets, l.facets, {}").format(placed_by)),
        columns=sql.SQL("sku, of_sku, of_listing, " + ("words, words_of_listing" if ranked else "place")),
        matched_max=sql.Literal(matched_max(question)),
        found_max=sql.Literal(FOUND_MAX),
        place=_rank(question) if ranked else sql.SQL("place"),
        order=_ordered(sql.Identifier("place"), sql.Identifier("sku"), falling=falling),
        behind=_behind(question, sql.Identifier("place"), sql.Identifier("sku")),
        shown=_SHOWN,
        facets=_FACETS.format(shown_max=shown_max) if question.after is None else sql.NULL,
        **searched.names,
    )


def select_in_order(searched: Searched, question: Question) -> sql.Composed:
    """One page of very many, read in an order that is not relevance; each row with its place at the end."""
    name, falling = _PLACES[question.order]
    column, sku = sql.Identifier("t", name), sql.Identifier("t", "sku")
    return _IN_ORDER.format(
        shown=_SHOWN,
        column=sql.Identifier(name),
        matched=_all(searched, question),
        behind=_behind(question, column, sku),
        order=_ordered(column, sku, falling=falling),
        page_order=_ordered(sql.Identifier("page", "place"), sql.Identifier("page", "sku"), falling=falling),
        **searched.names,
    )


def select_rest(searched: Searched, question: Question) -> sql.Composed:
    """The page behind all of very many that are ranked, by SKU; each row with the place 0 at the end."""
    return _REST.format(
        found=_found(searched, question, sql.SQL("t.sku")),
        unranked=sql.Literal(UNRANKED),
        found_max=sql.Literal(FOUND_MAX),
        shown=_SHOWN,
        matched=_all(searched, question),
        behind=sql.SQL(" and t.sku > %(after_sku)s" if question.behind_all_ranked else ""),
        **searched.names,
    )


def _rank(question: Question) -> sql.Composed:
    """How much of the words a row has, as a negative number."""
    assert question.words is not None, "nothing is more relevant without words"
    return _RANK.format(query=_query(question), weights=_WEIGHTS)


def _behind(question: Question, place: sql.Composable, sku: sql.Composable) -> sql.Composable:
    if question.after is None:
        return sql.SQL("")
    _, falling = _PLACES[question.order]
    return _BEHIND.format(place, sku, sign=sql.SQL("<" if falling else ">"))


def select_holds(products: BuildId) -> sql.Composed:
    """Whether no event of the catalogue came behind a position, and SKUs are in stock as they are said to be."""
    return _HOLDS.format(products=sql.Identifier("views", products.table))


def given(question: Question) -> dict[str, object]:
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
    elif question.alternatives is not None:
        values["query"] = _corrected(question.alternatives)
    else:
        values["query"] = " & ".join(f"'{_beginning(word)}':*" for word in words)
    return values


def _typed(words: Iterable[str]) -> str:
    """All of these words; the last may be the beginning of one."""
    return " & ".join(f"'{word}'" for word in words) + ":*"


def _corrected(alternatives: Alternatives) -> str:
    """For each word one of these; what stands for the last may be the beginning of one."""
    *before, last = [[f"'{word}'" for word in words] for words in alternatives]
    return " & ".join(f"({' | '.join(words)})" for words in [*before, [f"{word}:*" for word in last]])


def _beginning(word: str) -> str:
    return word[: max(BEGINNING_CHARACTERS_MIN, len(word) * 3 // 5)]


def _found(searched: Searched, question: Question, columns: sql.Composable) -> sql.Composed:
    """All that match, each once, looked up in the indexes of words: by those of titles, of SKUs, and of listings."""
    ways = [sql.SQL("")] if question.words is None else [_BY_ITS_TITLE, _BY_ITS_WORDS, _BY_ITS_LISTING]
    conditions = [each.format(query=_query(question)) for each in ways]
    return sql.SQL(" union all ").join(
        sql.SQL("select {}{}").format(columns, _matched(searched, question, each)) for each in conditions
    )


def _all(searched: Searched, question: Question) -> sql.Composed:
    """Each row that is read in an order, and has what is asked for."""
    condition: sql.Composable = sql.SQL("")
    if question.words is not None:
        condition = _HAS_WORDS.format(query=_query(question), **searched.names)
    return _matched(searched, question, condition)


def _matched(searched: Searched, question: Question, condition: sql.Composable) -> sql.Composed:
    conditions = [
        condition,
        _OF_SKU if question.of_sku else None,
        _OF_LISTING if question.of_listing else None,
        _IN_CHANNEL if question.channel is not None else None,
        _IN_CURRENCY if question.currency is not None else None,
        _AT_LEAST if question.price_min is not None else None,
        _AT_MOST if question.price_max is not None else None,
    ]
    narrowed = sql.SQL("").join([each for each in conditions if each is not None])
    return _MATCHED.format(**searched.names, narrowed=narrowed)


def _query(question: Question) -> sql.Composable:
    return _BEGINNINGS if question.means == "near" and question.alternatives is None else _QUERY


def _ordered(column: sql.Composable, sku: sql.Composable, *, falling: bool) -> sql.Composed:
    return sql.SQL("{0} desc, {1} desc" if falling else "{0}, {1}").format(column, sku)
