"""Typing errors: words as they were typed, corrected to words of titles that are spelt nearly the same.

Trigrams find candidates among all words of titles; how alike each is to what was typed is compared letter by letter.
"""

from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Final

from psycopg import sql

from projections.storing import BuildId
from read_api.connections import AsyncConnection
from read_api.searching.questions import Alternatives

CANDIDATES_MAX: Final = 30
"""Words of titles that one word is compared with, those with most trigrams in common."""
CORRECTIONS_MAX: Final = 3
"""Words of titles that may stand for one that was typed, where they are equally alike."""
SIMILARITY_MIN: Final = "0.25"
"""How similar candidates are, as pg_trgm counts: two letters that changed places in a word of six leave so much."""
RATIO_MIN: Final = 0.7
"""How much two words must have in common, of all their letters."""

_SET_SIMILARITY: Final = "select set_config('pg_trgm.similarity_threshold', %s, true)"
_CANDIDATES: Final = sql.SQL("""
select typed.number - 1, near.word from unnest(%s::text[]) with ordinality typed (word, number)
cross join lateral (
    select t.word, t.titles, {schema}.similarity(t.word, typed.word) as similarity from {words} t
    where t.word operator({schema}.%%) typed.word and not t.deleted
        and to_tsvector('english'::regconfig, typed.word) <> ''
    order by similarity desc, t.titles desc, t.word limit %s
) near order by typed.number, near.titles desc, near.word
""")


async def alternatives(
    connection: AsyncConnection, typed: Sequence[str], *, words: BuildId, schema: str
) -> Alternatives:
    """For each word itself, if it is in a title, and otherwise it and the words of titles that come nearest to it.

    `words` is a build of the view of words, with an index of pg_trgm, which is in `schema`.
    """
    await connection.execute(_SET_SIMILARITY, [SIMILARITY_MIN])
    statement = _CANDIDATES.format(schema=sql.Identifier(schema), words=sql.Identifier("views", words.table))
    cursor = await connection.execute(statement, [list(typed), CANDIDATES_MAX], prepare=False)
    candidates: list[list[str]] = [[] for _ in typed]
    for number, word in await cursor.fetchall():
        candidates[number].append(word)
    return tuple(map(_with_corrections, typed, candidates))


def _with_corrections(typed: str, candidates: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((typed, *nearest(typed, candidates))))


def nearest(typed: str, candidates: Sequence[str]) -> list[str]:
    """The candidates that have most in common with a word, in their order; none if that is not enough."""
    matcher = SequenceMatcher(b=typed, autojunk=False)
    ratios: dict[str, float] = {}
    for candidate in candidates:
        matcher.set_seq1(candidate)
        ratios[candidate] = matcher.ratio()
    best = max((RATIO_MIN, *ratios.values()))
    return [word for word, ratio in ratios.items() if ratio == best][:CORRECTIONS_MAX]
