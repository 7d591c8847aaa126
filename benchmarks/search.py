"""How long does a search take among 100,000 products, at 50 searches a second that nobody waits for?

Titles are made of words of four kinds, as titles in a shop are: dozens of colours and materials, hundreds of motifs
and things. Every second product is a variant of a listing with a category and a description. A mix is asked: a word,
several, a beginning, an error of typing, facets, a price. Once without Redis, where each answer is searched, and once
with it, where what was asked within a minute is given again.
"""

import asyncio
import random
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import urlencode

import psycopg
import uvloop

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
from projections.catalogue.views import ListingSearch, ProductSearch, listing_search, product_search
from projections.folding import Versioned
from projections.storing import Table
from projections.view import Row as ViewRow
from runtime import database

NAME: Final = "search"
PRODUCTS: Final = 100_000
RATE: Final = 50
QUESTIONS: Final = 5_000
"""Different questions, of which the first ones are asked most often."""
SECONDS: Final = 20.0
WARM_S: Final = 4.0
CONNECTIONS: Final = 32
GOALS: Final = (Goal("ours", at_most=50.0),)

_BEGAN: Final = datetime(2026, 1, 1, tzinfo=UTC)
_KINDS: Final = (40, 30, 300, 400)
_SYLLABLES: Final = (
    "ba",
    "co",
    "du",
    "fe",
    "gri",
    "ha",
    "jo",
    "ku",
    "la",
    "mo",
    "ni",
    "po",
    "ra",
    "sto",
    "tu",
    "ve",
)
_ROWS_AT_ONCE: Final = 5_000


def rows(laboratory: Laboratory) -> Iterator[Row]:
    """One row without Redis, and one with it."""
    count = laboratory.size.count(PRODUCTS, tiny=500)
    chance = random.Random(18)
    words = [_words(chance, kind) for kind in _KINDS]
    with laboratory.database() as url:
        _fill(url, words, chance, count=count)
        requests = _requests(words, chance)
        for case, redis_url in (("without Redis", ""), ("with Redis", laboratory.redis_url())):
            port = child.free_port()
            environment = {
                "COUNTERFOIL_DATABASE_URL": url,
                "COUNTERFOIL_REDIS_URL": redis_url,
                "COUNTERFOIL_QUERY_API_PORT": str(port),
                "COUNTERFOIL_HOME": str(laboratory.directory / "nowhere"),
            }
            with laboratory.http(["counterfoil", "query-api"], port=port, environment=environment):
                seconds = (0.2, 1.0) if laboratory.size.tiny else (WARM_S, SECONDS)
                for each in seconds:
                    took, refused = uvloop.run(_asked(port, requests, chance, seconds=each))
            yield Row(
                name=NAME,
                case=f"p99 of {RATE} searches/s, {count:,} products, {case}",
                unit="ms",
                ours=percentile(took, 0.99) * 1000,
                goals=GOALS,
                note=f"p50 {percentile(took, 0.5) * 1000:.1f} ms, {refused} refused, typing errors tolerated:"
                f" {_tolerant(url)}",
            )


def _words(chance: random.Random, count: int) -> list[str]:
    found: dict[str, None] = {}
    while len(found) < count:
        found["".join(chance.choices(_SYLLABLES, k=chance.randint(2, 4)))] = None
    return list(found)


def _fill(url: str, words: Sequence[Sequence[str]], chance: random.Random, *, count: int) -> None:
    """Have the rows that events of such a catalogue would make."""
    with database.connect(url, role="counterfoil_projector", name="benchmark") as conn:
        builds.ensure_builds(conn, (product_search, listing_search))
        for view, made in ((product_search, _products), (listing_search, _listings)):
            table = Table(view, builds.live(conn, view.name))
            every = made(words, chance, count)
            while page := [row for row, _ in zip(every, range(_ROWS_AT_ONCE), strict=False)]:
                table.write(conn, {view.key_of(row): Versioned(row, 1) for row in page})
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute("analyze")


def _products(words: Sequence[Sequence[str]], chance: random.Random, count: int) -> Iterator[ViewRow]:
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


def _listings(words: Sequence[Sequence[str]], chance: random.Random, count: int) -> Iterator[ViewRow]:
    for number in range(max(1, count // 4)):
        motif, thing = chance.choice(words[2]), chance.choice(words[3])
        body = " ".join(chance.choice(chance.choice(words)) for _ in range(30))
        yield ListingSearch(
            listing_id=ListingId(f"l{number}"),
            slug=f"l-{number}",
            titles={"en-GB": f"{motif} {thing}"},
            heading=f"{motif} {thing}",
            body=body,
            facets=joined([facet("category", CategoryId(f"c{number % 60}"))]),
            channels={ChannelId("web"): _BEGAN},
            shown_from=_BEGAN,
        )


def _requests(words: Sequence[Sequence[str]], chance: random.Random) -> list[bytes]:
    colours, materials, motifs, things = words

    def one() -> dict[str, str]:
        colour, material, motif, thing = map(chance.choice, (colours, materials, motifs, things))
        wrong = thing[:2] + thing[3:4] + thing[2:3] + thing[4:]
        kinds: list[tuple[int, dict[str, str]]] = [
            (25, {"q": thing}),
            (25, {"q": f"{motif} {thing}"}),
            (12, {"q": f"{colour} {motif}"}),
            (4, {"q": colour}),
            (3, {"q": material}),
            (12, {"q": f"{motif} {thing[:3]}"}),
            (6, {"q": wrong}),
            (5, {"q": thing, "facets": "stock:in", "sort": "price", "currency": "GBP"}),
            (5, {"facets": f"category:c{chance.randrange(60)}", "sort": "title"}),
            (3, {"q": motif, "currency": "GBP", "price_min": "5", "price_max": "20"}),
        ]
        return chance.choices([kind for _, kind in kinds], weights=[weight for weight, _ in kinds])[0]

    return [http_client.get(f"/v1/product-search?{urlencode(one())}") for _ in range(QUESTIONS)]


async def _asked(
    port: int, requests: Sequence[bytes], chance: random.Random, *, seconds: float
) -> tuple[list[float], int]:
    """Seconds that each search took, and how many were not answered by 200."""
    idle = [await Connection.open("127.0.0.1", port) for _ in range(CONNECTIONS)]
    opened = list(idle)
    took: list[float] = []
    refused = 0
    free = asyncio.Semaphore(CONNECTIONS)

    async def ask(_number: int) -> None:
        nonlocal refused
        began = time.perf_counter()
        async with free:
            connection = idle.pop()
            # The n-th question is asked about 1/n as often as the first.
            answer = await connection.ask(requests[int(len(requests) ** chance.random()) - 1])
            idle.append(connection)
        took.append(time.perf_counter() - began)
        refused += answer.status != 200

    try:
        await http_client.open_loop(RATE, seconds=seconds, do=ask)
    finally:
        for connection in opened:
            connection.close()
    return sorted(took), refused


def _tolerant(url: str) -> str:
    with psycopg.connect(url) as conn:
        row = conn.execute("select 1 from pg_extension where extname = 'pg_trgm'").fetchone()
    return "by similarity" if row else "by beginnings"
