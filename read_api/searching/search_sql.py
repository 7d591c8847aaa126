"""The SQL of searches, composed of constants and of the names of builds; never of input.

An SKU is found by what it says of itself, or by what its listing says: ids of the listings are looked up first, so that
each half has an index.
"""

from collections.abc import Iterable
from typing import Final

from msgspec import Struct
from psycopg import sql

from projections.storing import BuildId
from read_api.searching.questions import Alternatives, Question

COUNTED_MAX: Final = 5_000
"""What matches is counted, also by facet, if it is not more than this."""
RANKED_MAX: Final = 1_000
"""As many are ranked; of more, the newest of those whose titles have the words, and all others come after them."""
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
_PAGE: Final = sql.SQL("""
select t.sku, t.title, t.listing_id, l.slug, l.titles::text, t.options::text, t.unit_price, t.currency, t.in_stock,
    t.created_at, m.place
from ({places}) m
join {products} t on t.sku = m.sku left join {listings} l on l.listing_id = t.listing_id and not l.deleted
order by {order}
""")
_IN_ORDER: Final = sql.SQL(
    "select t.sku, t.{column} as place {matched}{behind} order by {order} limit %(limit)s"
)
_RANKED: Final = sql.SQL("""
with ranked as materialized (select t.sku, {relevance} as place {matched})
select sku, place from ranked where true{behind} order by place, sku limit %(limit)s
""")
_RANKED_BY_TITLE: Final = sql.SQL("""
with titled as materialized (
    select * from ({titled}) titled (sku, created_at) limit {counted_max}
), newest as materialized (
    select sku from titled order by created_at desc, sku limit {ranked_max}
), ranked as materialized (
    select t.sku, {relevance} as place from newest
    join {products} t on t.sku = newest.sku left join {listings} l on l.listing_id = t.listing_id and not l.deleted
), first as materialized (
    select sku, place from ranked where true{behind} order by place, sku limit %(limit)s
)
select sku, place from first union all (
    select t.sku, 0::bigint {matched} and (select count(*) from first) < %(limit)s
        and t.sku not in (select sku from newest){behind_ranked}
    order by t.sku limit %(limit)s
) order by place, sku limit %(limit)s
""")
_FEW: Final = sql.SQL("""
select case when count(*) <= {ranked_max} then coalesce(array_agg(few.sku), array[]::text[]) end
from (select * from ({found}) found (sku) limit {ranked_max} + 1) few
""")
_COUNTS: Final = sql.SQL("""
with matched as materialized (
    select * from ({found}) found (sku, of_sku, of_listing) limit {counted_max} + 1
), counted as (select count(*) as total from matched), sets as (
    select of_sku as facets, count(*) as number from matched group by of_sku
    union all select of_listing, count(*) from matched group by of_listing
)
select counted.total, case when counted.total <= {counted_max} then (
    select coalesce(json_agg(json_build_array(f.facet, f.number)), '[]')::text from (
        select facet, sum(number)::bigint as number from sets
        cross join unnest(string_to_array(sets.facets, E'\\n')) facet
        group by facet order by number desc, facet collate "C" limit {shown_max}
    ) f
) end, case when counted.total <= {ranked_max} then (select array_agg(sku) from matched) end from counted
""")
"""Rows that have the same facets are counted as one: there are few different sets of them."""

_QUERY: Final = sql.SQL(
    "(to_tsquery('english'::regconfig, %(query)s) || to_tsquery('simple'::regconfig, %(query)s))"
)
_BEGINNINGS: Final = sql.SQL("to_tsquery('simple'::regconfig, %(query)s)")
_IN_TEXT: Final = (sql.SQL("t.words"), sql.SQL("l.words"))
_IN_TITLE: Final = (
    sql.SQL("ts_filter(t.words, '{{a}}')").format(),
    sql.SQL("ts_filter(l.words, '{{a}}')").format(),
)
"""Words of an SKU and of its listing; each has an index."""
_BY_ITS_WORDS: Final = sql.SQL(" and {own} @@ {query}")
_BY_ITS_LISTING: Final = sql.SQL(" and {of_listing} @@ {query} and not {own} @@ {query}")
_HAS_WORDS: Final = sql.SQL(
    " and (t.words @@ {query} or t.listing_id in"
    " (select s.listing_id from {listings} s where s.words @@ {query} and not s.deleted))"
)
_RANK: Final = sql.SQL(
    "least(-((ts_rank({weights}::real[], t.words, {query}, 1)"
    " + 0.5 * coalesce(ts_rank({weights}::real[], l.words, {query}, 1), 0)) * 1000000)::bigint, -1)"
)
_WEIGHTS: Final = sql.Literal([0.0, 0.2, 0.6, 1.0])
"""Of nothing, of descriptions and properties (C), of SKUs (B), of titles (A)."""
_OF_SKU: Final = sql.SQL(" and t.facet_list @> %(of_sku)s::text[]")
_BY_LISTINGS: Final = sql.SQL(
    " and t.listing_id = any(array(select s.listing_id from {listings} s"
    " where s.facet_list @> %(of_listing)s::text[] and not s.deleted))"
)
_OF_LISTING: Final = sql.SQL(" and l.facet_list @> %(of_listing)s::text[]")
_IN_CHANNEL: Final = sql.SQL(" and (l.channels ->> %(channel)s)::timestamptz <= now()")
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


def select_counts(searched: Searched, question: Question) -> sql.Composed:
    """How many match, up to one more than are counted, how many of them have each facet, and which, if they are few."""
    return _COUNTS.format(
        found=_found(searched, question, sql.SQL("t.sku, t.facets, l.facets")),
        counted_max=sql.Literal(COUNTED_MAX),
        ranked_max=sql.Literal(RANKED_MAX),
        shown_max=sql.Literal(FACETS_SHOWN_MAX),
    )


def select_few(searched: Searched, question: Question) -> sql.Composed:
    """The SKUs of all that match, null if they are more than are ranked."""
    return _FEW.format(found=_found(searched, question, sql.SQL("t.sku")), ranked_max=sql.Literal(RANKED_MAX))


def select_page(searched: Searched, question: Question) -> sql.Composed:
    """One page, each row with its place at the end. `found` of the question says what matches, if it is few."""
    places = _ranked(searched, question) if question.order == "relevance" else _in_order(searched, question)
    _, falling = _PLACES[question.order]
    order = _ordered(sql.Identifier("m", "place"), sql.Identifier("m", "sku"), falling=falling)
    return _PAGE.format(places=places, order=order, **searched.names)


def _in_order(searched: Searched, question: Question) -> sql.Composed:
    name, falling = _PLACES[question.order]
    column, sku = sql.Identifier("t", name), sql.Identifier("t", "sku")
    sign = sql.SQL("<" if falling else ">")
    return _IN_ORDER.format(
        column=sql.Identifier(name),
        matched=_few_or_all(searched, question),
        behind=sql.SQL("") if question.after is None else _BEHIND.format(column, sku, sign=sign),
        order=_ordered(column, sku, falling=falling),
    )


def _ranked(searched: Searched, question: Question) -> sql.Composed:
    place, sku = sql.Identifier("place"), sql.Identifier("sku")
    parts = {
        "matched": _few_or_all(searched, question),
        "relevance": _RANK.format(query=_query(question), weights=_WEIGHTS),
        "behind": sql.SQL("") if question.after is None else _BEHIND.format(place, sku, sign=sql.SQL(">")),
    }
    if question.found is not None:
        return _RANKED.format(**parts)
    return _RANKED_BY_TITLE.format(
        titled=_found(searched, question, sql.SQL("t.sku, t.created_at"), words=_IN_TITLE),
        counted_max=sql.Literal(COUNTED_MAX),
        ranked_max=sql.Literal(RANKED_MAX),
        # What is not ranked has the place 0, behind all that is.
        behind_ranked=sql.SQL(
            " and t.sku > %(after_sku)s" if question.after is not None and question.after[0] == 0 else ""
        ),
        **parts,
        **searched.names,
    )


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
    if question.found is not None:
        values["found"] = question.found
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


def _found(
    searched: Searched,
    question: Question,
    columns: sql.SQL,
    *,
    words: tuple[sql.Composable, sql.Composable] = _IN_TEXT,
) -> sql.Composed:
    """All that match, each once, looked up in the indexes of words: first by those of SKUs, then by their listings'."""
    narrowed = _BY_LISTINGS.format(**searched.names) if question.of_listing else sql.SQL("")
    conditions: list[sql.Composable] = [sql.SQL("")]
    if question.words is not None:
        parts = {"own": words[0], "of_listing": words[1], "query": _query(question)}
        conditions = [_BY_ITS_WORDS.format(**parts), _BY_ITS_LISTING.format(**parts)]
    return sql.SQL(" union all ").join(
        sql.SQL("select {}{}").format(columns, _matched(searched, question, each + narrowed))
        for each in conditions
    )


def _few_or_all(searched: Searched, question: Question) -> sql.Composed:
    """What matches: the few that were found, or each row that is read in an order and has what is asked for."""
    if question.found is not None:
        return _MATCHED.format(narrowed=sql.SQL(" and t.sku = any(%(found)s)"), **searched.names)
    condition: sql.Composable = _OF_LISTING if question.of_listing else sql.SQL("")
    if question.words is not None:
        condition += _HAS_WORDS.format(query=_query(question), **searched.names)
    return _matched(searched, question, condition)


def _matched(searched: Searched, question: Question, condition: sql.Composable) -> sql.Composed:
    conditions = [
        condition,
        _OF_SKU if question.of_sku else None,
        _IN_CHANNEL if question.channel is not None else None,
        _IN_CURRENCY if question.currency is not None else None,
        _AT_LEAST if question.price_min is not None else None,
        _AT_MOST if question.price_max is not None else None,
    ]
    narrowed = sql.SQL("").join([each for each in conditions if each is not None])
    return _MATCHED.format(**searched.names, narrowed=narrowed)


def _query(question: Question) -> sql.SQL:
    return _BEGINNINGS if question.means == "near" and question.alternatives is None else _QUERY


def _ordered(column: sql.Composable, sku: sql.Composable, *, falling: bool) -> sql.Composed:
    return sql.SQL("{0} desc, {1} desc" if falling else "{0}, {1}").format(column, sku)
