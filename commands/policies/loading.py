"""Reading what decisions need from the log: facts of streams, page by page, and outcomes that are known already."""

from collections.abc import AsyncIterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final, cast

import psycopg

from commands.policies.states import Fact

STREAMS_PER_PAGE_MAX: Final = 500
"""Streams in one query."""

FACTS_PER_STREAM_MAX: Final = 1_000
"""Facts of one stream in one query: a hot code's history comes in pages, so that it need not fit in memory."""

_FACTS: Final = """
select s.stream, e.version, e.type, e.payload::text
from unnest(%(streams)s::text[], %(versions)s::bigint[]) as s (stream, version)
cross join lateral (
    select x.version, x.type, x.payload from log.event x
    where x.stream = s.stream and x.version > s.version order by x.version limit %(limit)s
) e
"""
_OUTCOMES: Final = "select key, fingerprint from log.outcome where key = any(%(keys)s)"

AsyncConnection = psycopg.AsyncConnection[tuple[object, ...]]


async def facts_after(
    connection: AsyncConnection, after: Mapping[str, int]
) -> AsyncIterator[dict[str, list[Fact]]]:
    """Pages of the facts of streams, each stream behind its version; a stream's facts come in order of version."""
    streams = iter(after.items())
    while chunk := dict(islice(streams, STREAMS_PER_PAGE_MAX)):
        while chunk:
            page = await _page(connection, chunk)
            yield page
            chunk = {
                stream: facts[-1].version
                for stream, facts in page.items()
                if len(facts) == FACTS_PER_STREAM_MAX
            }


async def known_outcomes(connection: AsyncConnection, keys: Sequence[bytes]) -> dict[bytes, bytes]:
    """The fingerprints of those outcome keys that the log knows."""
    if not keys:
        return {}
    async with connection.cursor(binary=True) as cursor:
        await cursor.execute(_OUTCOMES, {"keys": list(keys)})
        return dict(cast("list[tuple[bytes, bytes]]", await cursor.fetchall()))


async def _page(connection: AsyncConnection, after: Mapping[str, int]) -> dict[str, list[Fact]]:
    given = {"streams": list(after), "versions": list(after.values()), "limit": FACTS_PER_STREAM_MAX}
    async with connection.cursor(binary=True) as cursor:
        await cursor.execute(_FACTS, given)
        rows: list[Any] = await cursor.fetchall()
    page: dict[str, list[Fact]] = {}
    for stream, version, type_name, payload in rows:
        page.setdefault(stream, []).append(Fact(version, type_name, payload.encode()))
    for facts in page.values():
        facts.sort(key=_version)
    return page


def _version(fact: Fact) -> int:
    return fact.version
