"""How long does a search take among 100,000 products, at 50 searches a second that nobody waits for?

Titles are made of words of four kinds, as titles in a shop are: dozens of colours and materials, hundreds of motifs
and things. Every second product is a variant of a listing with a category and a description. Shares of the searches
are fixed: a word, several, a beginning, an error of typing, facets, a price, a second page. Once without Redis, where
each answer is searched, and once with it, where what was asked within a minute is given again.
"""

import asyncio
import itertools
import random
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
import psycopg
import uvloop
from psycopg import sql

from benchmarks import http_client
from benchmarks.http_client import Connection
from benchmarks.laboratory import Laboratory
from benchmarks.measuring import percentile
from benchmarks.table import Goal, Row
from devservers import child
from domain.ids import CategoryId, ChannelId, ListingId, Sku
from domain.money import Currency, UnitPrice
from projections import builds
from projections.catalogue.search_facets import band, facet, joined, scaled
from projections.catalogue.search_folds import VIEWS
from projections.catalogue.views import (
    ListingSearch,
    ProductSearch,
    TitleWord,
    listing_search,
    product_search,
    title_word,
)
from projections.columns import write_json
from projections.storing import SCHEMA
from projections.view import Row as ViewRow
from projections.view import View
from runtime import database

NAME: Final = "search"
PRODUCTS: Final = 100_000
RATE: Final = 50
QUESTIONS: Final = 5_000
"""Different questions, of which the first ones of each kind are asked most often."""
SECONDS: Final = 40.0
WARM_S: Final = 4.0
CONNECTIONS: Final = 32
GOALS: Final = (Goal("ours", at_most=50.0),)

Asked = dict[str, str]
Words = Sequence[Sequence[str]]

_BEGAN: Final = datetime(2026, 1, 1, tzinfo=UTC)
_WORDS_OF_KIND: Final = (40, 30, 300, 400)
_CATEGORIES: Final = 60
_SYLLABLES: Final = (
    *("ba", "co", "du", "fe", "gri", "ha", "jo", "ku"),
    *("la", "mo", "ni", "po", "ra", "sto", "tu", "ve"),
)


SHARES: Final = {
    "a thing": 10,
    "a motif and a thing": 10,
    "a colour and a motif": 5,
    "a colour": 2,
    "a material": 2,
    "a beginning": 5,
    "a typing error": 3,
    "a thing in stock, by price": 3,
    "a category, by title": 3,
    "a motif within prices": 3,
    "a second page": 4,
}
"""How many of 50 searches are of a kind."""
_SECOND_PAGE: Final = "a second page"


def rows(laboratory: Laboratory) -> Iterator[Row]:
    """All searches and each kind of them: without Redis, and with it."""
    count = laboratory.size.count(PRODUCTS, tiny=500)
    chance = random.Random(18)
    words = [_words(chance, kind) for kind in _WORDS_OF_KIND]
    with laboratory.database() as url:
        _fill(url, words, chance, count=count)
        questions = _questions(words, chance)
        for case, redis_url in (("without Redis", ""), ("with Redis", laboratory.redis_url())):
            port = child.free_port()
            environment = {
                "COUNTERFOIL_DATABASE_URL": url,
                "COUNTERFOIL_REDIS_URL": redis_url,
                "COUNTERFOIL_QUERY_API_PORT": str(port),
                "COUNTERFOIL_HOME": str(laboratory.directory / "nowhere"),
            }
            with laboratory.http(["counterfoil", "query-api"], port=port, environment=environment):
                warm, measured = (0.2, 1.0) if laboratory.size.tiny else (WARM_S, SECONDS)
                uvloop.run(_asked(port, questions, random.Random(4), seconds=warm))
                took, refused = uvloop.run(_asked(port, questions, random.Random(50), seconds=measured))
            every = sorted(itertools.chain.from_iterable(took.values()))
            yield Row(
                name=NAME,
                case=f"p99 of {RATE} searches/s, {count:,} products, {case}",
                unit="ms",
                ours=percentile(every, 0.99) * 1000,
                goals=GOALS,
                note=f"p50 {percentile(every, 0.5) * 1000:.1f} ms, {refused} refused, typing errors tolerated:"
                f" {_tolerant(url)}",
            )
            for kind in SHARES:
                yield _row_of(kind, case, sorted(took[kind]))


def _row_of(kind: str, case: str, took: Sequence[float]) -> Row:
    return Row(
        name=NAME,
        case=f"p99 of searches for {kind}, {case}",
        unit="ms",
        ours=percentile(took, 0.99) * 1000,
        note=f"p50 {percentile(took, 0.5) * 1000:.1f} ms, of {len(took)}",
    )


def _words(chance: random.Random, count: int) -> list[str]:
    found: dict[str, None] = {}
    while len(found) < count:
        found["".join(chance.choices(_SYLLABLES, k=chance.randint(2, 4)))] = None
    return list(found)


def _fill(url: str, words: Words, chance: random.Random, *, count: int) -> None:
    """Have the rows that events of such a catalogue would make."""
    with database.connect(url, role="counterfoil_projector", name="benchmark") as conn:
        builds.ensure_builds(conn, VIEWS)
        _copy(conn, product_search, _products(words, chance, count))
        _copy(conn, listing_search, _listings(words, chance, count))
        _copy(
            conn, title_word, (TitleWord(word=word, titles=1) for word in sorted({*itertools.chain(*words)}))
        )
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute("vacuum analyze")


def _copy(conn: psycopg.Connection[Any], view: View[Any], made: Iterable[ViewRow]) -> None:
    names = [column.name for column in view.columns]
    statement = sql.SQL("copy {} ({}, position) from stdin").format(
        sql.Identifier(SCHEMA, builds.live(conn, view.name).table),
        sql.SQL(", ").join(map(sql.Identifier, names)),
    )
    with conn.transaction(), conn.cursor() as cursor, cursor.copy(statement) as copy:
        for row in made:
            values = [getattr(row, name) for name in names]
            shown = zip(view.columns, values, strict=True)
            copy.write_row([*(write_json(value) if each.is_json else value for each, value in shown), 1])


def _products(words: Words, chance: random.Random, count: int) -> Iterator[ViewRow]:
    for number in range(count):
        colour, material, motif, thing = (chance.choice(kind) for kind in words)
        title = f"{colour} {material} {motif} {thing}"
        price = UnitPrice(f"{chance.randint(0, 99)}.{chance.randint(10, 99)}")
        stock = "stock:in" if number % 5 else "stock:out"
        options = {"colour": colour} if number % 2 else {}
        yield ProductSearch(
            sku=Sku(f"{number:06}"),
            title=title.capitalize(),
            listing_id=ListingId(f"l{number // 4}") if number % 2 else None,
            options=options,
            unit_price=price,
            currency=Currency("GBP"),
            price=scaled(price),
            available=number % 5,
            in_stock=bool(number % 5),
            created_at=_BEGAN + timedelta(minutes=number),
            heading=title,
            body=" ".join(options.values()),
            facets=joined(
                [
                    stock,
                    band(scaled(price), "GBP"),
                    *(facet("option", each, name="colour") for each in options.values()),
                ]
            ),
        )


def _listings(words: Words, chance: random.Random, count: int) -> Iterator[ViewRow]:
    for number in range(max(1, count // 4)):
        motif, thing = chance.choice(words[2]), chance.choice(words[3])
        body = " ".join(chance.choice(chance.choice(words)) for _ in range(30))
        yield ListingSearch(
            listing_id=ListingId(f"l{number}"),
            slug=f"l-{number}",
            titles={"en-GB": f"{motif} {thing}"},
            heading=f"{motif} {thing}",
            body=body,
            facets=joined([facet("category", CategoryId(f"c{number % _CATEGORIES}"))]),
            channels={ChannelId("web"): _BEGAN},
            shown_from=_BEGAN,
        )


def _questions(words: Words, chance: random.Random) -> dict[str, list[Asked]]:
    """Questions of each kind."""
    made = [_one_of_each(words, chance) for _ in range(QUESTIONS)]
    total = sum(SHARES.values())
    return {
        kind: [each[kind] for each in made[: QUESTIONS * share // total]] for kind, share in SHARES.items()
    }


def _one_of_each(words: Words, chance: random.Random) -> dict[str, Asked]:
    colour, material, motif, thing = map(chance.choice, words)
    in_pounds = {"currency": "GBP"}
    category = f"category:c{chance.randrange(_CATEGORIES)}"
    return {
        "a thing": {"q": thing},
        "a motif and a thing": {"q": f"{motif} {thing}"},
        "a colour and a motif": {"q": f"{colour} {motif}"},
        "a colour": {"q": colour},
        "a material": {"q": material},
        "a beginning": {"q": f"{motif} {thing[:3]}"},
        "a typing error": {"q": thing[:2] + thing[3:4] + thing[2:3] + thing[4:]},
        "a thing in stock, by price": {"q": thing, "facets": "stock:in", "sort": "price", **in_pounds},
        "a category, by title": {"facets": category, "sort": "title"},
        "a motif within prices": {"q": motif, "price_min": "5", "price_max": "20", **in_pounds},
        _SECOND_PAGE: {"q": colour} if chance.random() < 0.5 else {"facets": "stock:in"},
    }


async def _asked(
    port: int, questions: Mapping[str, list[Asked]], chance: random.Random, *, seconds: float
) -> tuple[dict[str, list[float]], int]:
    """Seconds that each search took, by its kind, and how many were not answered by 200."""
    opened = [await Connection.open("127.0.0.1", port) for _ in range(CONNECTIONS)]
    requests = {kind: list(map(_request, asked)) for kind, asked in questions.items()}
    requests[_SECOND_PAGE] = [each async for each in _next_pages(opened[0], questions[_SECOND_PAGE])]
    idle = deque(opened)
    free = asyncio.Semaphore(CONNECTIONS)
    took = defaultdict[str, list[float]](list)
    refused = 0
    kinds: list[str] = []

    async def ask(_number: int) -> None:
        nonlocal refused
        if not kinds:
            kinds.extend(itertools.chain.from_iterable([kind] * share for kind, share in SHARES.items()))
            chance.shuffle(kinds)
        kind = kinds.pop()
        # The n-th question of a kind is asked about 1/n as often as its first.
        request = requests[kind][int(len(requests[kind]) ** chance.random()) - 1]
        began = time.perf_counter()
        async with free:
            connection = idle.popleft()  # in turn, so that none is idle until the server closes it
            answer = await connection.ask(request)
            idle.append(connection)
        took[kind].append(time.perf_counter() - began)
        refused += answer.status != 200

    try:
        await http_client.open_loop(RATE, seconds=seconds, do=ask)
    finally:
        for connection in opened:
            connection.close()
    return took, refused


async def _next_pages(connection: Connection, questions: Iterable[Asked]) -> AsyncIterator[bytes]:
    """Requests for the second pages of different questions that have one."""
    for asked in {tuple(each.items()): each for each in questions}.values():
        answer = await connection.ask(_request(asked))
        cursor = msgspec.json.decode(answer.body)["next_cursor"]
        if cursor is not None:
            yield _request({**asked, "cursor": cursor})


def _request(asked: Asked) -> bytes:
    return http_client.get(f"/v1/product-search?{urlencode(asked)}")


def _tolerant(url: str) -> str:
    with psycopg.connect(url) as conn:
        row = conn.execute("select 1 from pg_extension where extname = 'pg_trgm'").fetchone()
    return "by similarity" if row else "by beginnings"
