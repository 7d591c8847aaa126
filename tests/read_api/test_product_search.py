"""Answers of searches over a real Postgres: with pg_trgm, and without, by beginnings of words."""

import asyncio
import contextlib
import itertools
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg import sql

from counterfoil import migrating
from devservers import postgres as postgres_servers
from domain.catalogue.events import ProductCreated
from domain.ids import ChannelId, Sku
from domain.inventory.events import StockReceived
from projections import builds
from projections.catalogue.search_facets import band, scaled
from projections.catalogue.search_folds import VIEWS
from projections.storing import Table
from read_api.searching import answering, search_sql
from read_api.searching.questions import SearchParameters, question_of
from runtime import database
from runtime.problems import ProblemError
from runtime.settings import Settings
from tests import searched_catalogue
from tests.catalogue_examples import (
    NOW,
    listing_created,
    listing_published,
    listing_unpublished,
    variant_added,
    variant_discontinued,
)
from tests.contributed_postgres import programs_with
from tests.examples import product_created

MADE = searched_catalogue.things(1_260)
ASKED = searched_catalogue.questions(MADE)


def filled(url: str, events) -> None:
    """Have builds of the views, with the rows that these events make, and nothing else."""
    with database.connect(url, role="counterfoil_projector", name="test") as conn:
        builds.ensure_builds(conn, VIEWS)
        for view, rows in zip(VIEWS, searched_catalogue.searched(events), strict=True):
            table = Table(view, builds.live(conn, view.name))
            conn.execute(f"delete from views.{table.build.table}")
            table.write(conn, rows)
            conn.execute(f"analyze views.{table.build.table}")


@contextlib.asynccontextmanager
async def _searched(url: str):
    """A reader's connection, and the builds that are live."""
    async with await database.connect_async(url, role="counterfoil_reader", name="test") as connection:
        live = [await _build(connection, view.name) for view in VIEWS]
        yield connection, await answering.described(connection, *live)


async def _all(url: str, asked: list[SearchParameters]):
    async with _searched(url) as (connection, searched):
        found = []
        for each in asked:
            async with connection.transaction():
                found.append(await answering.answer(connection, searched, question_of(each)))
        return found


async def _plan(url: str, asked: SearchParameters) -> list[str]:
    """How Postgres finds what is answered first."""
    async with _searched(url) as (connection, searched), connection.transaction():
        await connection.execute(search_sql.SET_PLANS)
        question = question_of(asked)
        explained = sql.SQL("explain (costs off) ") + search_sql.select_first(searched, question)
        cursor = await connection.execute(explained, search_sql.given(question))
        return [line for (line,) in await cursor.fetchall()]


async def _build(connection, view: str):
    row = await (
        await connection.execute("select view, shape, build from views.live where view = %s", [view])
    ).fetchone()
    return builds.BuildId(*row)


def found(url: str, *asked: SearchParameters):
    return asyncio.run(_all(url, list(asked)))


def skus(answer) -> list[str]:
    return [each.sku for each in answer.items]


def every_page(url: str, *, stop: int = 10_000, **asked) -> list[str]:
    """The SKUs of all pages, or of so many that they are more than `stop`."""
    pages: list[str] = []
    cursor = None
    while True:
        (page,) = found(url, SearchParameters(**asked, cursor=cursor))
        pages += skus(page)
        cursor = page.next_cursor
        if cursor is None or len(pages) > stop:
            return pages


@pytest.fixture(scope="module")
def shop(new_database) -> str:
    """The generated catalogue, on a Postgres without pg_trgm."""
    url = new_database()
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute("drop extension if exists pg_trgm cascade")
    filled(url, [event for thing in MADE for event in searched_catalogue.events_of(thing)])
    return url


@pytest.fixture(scope="module")
def shop_with_trigrams(servers_taken) -> Iterator[str]:
    """The same, on one that has pg_trgm."""
    directory = Path(tempfile.mkdtemp(prefix="counterfoil-trigrams-"))
    directory.chmod(0o755)  # who runs Postgres here may be another user
    programs = programs_with("pg_trgm", directory, Settings.load())
    settings = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    with postgres_servers.start_postgres(directory, programs_folder=programs, settings=settings) as server:
        servers_taken.append(server.report())
        server.make_database("shop")
        migrating.migrate(server.url_of("shop"))
        filled(
            server.url_of("shop"),
            [event for thing in MADE for event in searched_catalogue.events_of(thing)],
        )
        yield server.url_of("shop")
    shutil.rmtree(directory, ignore_errors=True)


def quality(url: str) -> dict[str, float]:
    answers = found(url, *[SearchParameters(q=each.q, limit=10) for each in ASKED])
    return {
        graded.q: searched_catalogue.ndcg(graded, skus(answer), MADE)
        for graded, answer in zip(ASKED, answers, strict=True)
    }


def mean(values) -> float:
    values = list(values)
    return sum(values) / len(values)


def test_answers_are_good_where_typing_errors_are_tolerated(shop_with_trigrams):
    qualities = quality(shop_with_trigrams)

    assert len(qualities) >= 50
    assert mean(qualities.values()) >= 0.8, sorted(qualities.items(), key=lambda each: each[1])[:15]


def test_answers_are_good_enough_where_beginnings_of_words_have_to_do(shop):
    qualities = quality(shop)

    assert mean(qualities.values()) >= 0.7, sorted(qualities.items(), key=lambda each: each[1])[:15]


def test_what_nothing_has_is_answered_by_what_comes_near(shop, shop_with_trigrams):
    for url in (shop, shop_with_trigrams):
        typed, near, nothing, signs = found(
            url,
            SearchParameters(q="lantern"),
            SearchParameters(q="lantren"),
            SearchParameters(q="xyzzyplugh"),
            SearchParameters(q="!?"),
        )

        assert ("words", "near") == (typed.means, near.means)
        assert all("lantern" in each.title for each in near.items)
        assert typed.matches == near.matches
        assert [([], 0, "words")] * 2 == [(each.items, each.matches, each.means) for each in (nothing, signs)]


def test_only_words_that_no_title_has_are_corrected_and_none_that_english_leaves_out(shop_with_trigrams):
    answer, none = found(
        shop_with_trigrams,
        SearchParameters(q="while garden lantren"),
        SearchParameters(q="lantern lantern teapot"),
    )

    assert answer.matches == len(
        [each for each in MADE if each.noun == "lantern" and each.listed and each.room == "garden"]
    )
    assert ([], "words") == (none.items, none.means)


@pytest.mark.parametrize("sort", ["relevance", "price", "-price", "newest", "title"])
@pytest.mark.parametrize("q", ["red heart", "latern", None])
def test_pages_together_are_the_whole_in_order(shop, q, sort):
    if q is None and sort == "relevance":
        with pytest.raises(ProblemError):
            question_of(SearchParameters(sort=sort))
        return
    asked = {"q": q, "sort": sort, "currency": "GBP", "facets": "category:kitchen"}
    (whole,) = found(shop, SearchParameters(**asked, limit=100))
    pages = every_page(shop, **asked, limit=7, stop=100)

    assert skus(whole)[: len(pages)] == pages[:100]
    assert len(set(pages)) == len(pages)
    assert whole.matches is None or len(pages) >= min(whole.matches, 100)
    made = {each.sku: each for each in whole.items}
    keys = [
        {"price": scaled(made[each].unit_price), "newest": made[each].created_at, "title": made[each].title}
        for each in pages[:100]
    ]
    if sort != "relevance":
        values = [each[sort.removeprefix("-")] for each in keys]
        assert values == sorted(values, reverse=sort in {"-price", "newest"})


def test_a_price_is_bounded_on_both_sides_and_in_one_currency(shop):
    inside, other = found(
        shop,
        SearchParameters(currency="GBP", price_min="5.05", price_max="6.15", limit=100),
        SearchParameters(currency="EUR"),
    )

    expected = {each.sku for each in MADE if 505 <= _pence(each) <= 615}
    assert expected == set(skus(inside))
    assert [] == other.items


def _pence(thing) -> int:
    return scaled(next(e for e in searched_catalogue.events_of(thing)).unit_price) // 1_000_000


@pytest.mark.parametrize(
    ("given", "parameter"),
    [
        ({"sort": "price"}, "sort"),
        ({"sort": "relevance"}, "sort"),
        ({"price_min": "1"}, "price_min"),
        ({"price_max": "1"}, "price_max"),
        ({"facets": ",".join(map(str, range(11)))}, "facets"),
    ],
)
def test_what_cannot_be_searched_is_refused(given, parameter):
    with pytest.raises(ProblemError) as refused:
        question_of(SearchParameters(**given))

    assert parameter == refused.value.errors[0].parameter


def test_a_cursor_belongs_to_one_question(shop):
    (page,) = found(shop, SearchParameters(q="heart", limit=5))

    assert question_of(SearchParameters(q="heart", limit=9, cursor=page.next_cursor)).after is not None
    with pytest.raises(ProblemError) as refused:
        question_of(SearchParameters(q="star", cursor=page.next_cursor))
    assert ("malformed-cursor", "cursor") == (refused.value.type.slug, refused.value.errors[0].parameter)


def test_a_channel_shows_what_is_published_there(shop):
    here, elsewhere = found(
        shop, SearchParameters(channel="web", limit=1), SearchParameters(channel=ChannelId("till"))
    )

    assert (len([each for each in MADE if each.listed]), 0) == (here.matches, elsewhere.matches)


def test_what_is_not_shown_is_not_found(narrow_shop):
    later = datetime.now(UTC) + timedelta(days=1)
    stories = {
        "alone": (),
        "draft": (),
        "future": (listing_published(listing_id="future", starts_at=later),),
        "shown": (listing_published(listing_id="shown"),),
        "withdrawn": (listing_published(listing_id="withdrawn"), listing_unpublished(listing_id="withdrawn")),
        "gone": (
            listing_published(listing_id="gone"),
            variant_discontinued(listing_id="gone", sku=Sku("gone")),
        ),
    }
    events = []
    for name, story in stories.items():
        events.append(product_created(sku=Sku(name), title="Lamp"))
        if name != "alone":
            events += [listing_created(listing_id=name), variant_added(listing_id=name, sku=Sku(name))]
        events += story
    filled(narrow_shop, events)

    for asked in ({"q": "lamp"}, {"q": "lamb"}, {}, {"q": "shown"}, {"q": "draft"}):
        (answer,) = found(narrow_shop, SearchParameters(**asked))
        named = {asked.get("q")} & {"shown"}
        expected = named or (set() if asked.get("q") in {"lamb", "draft"} else {"alone", "shown"})
        assert set(skus(answer)) <= {"alone", "shown"}
        assert expected <= set(skus(answer))


Made = st.lists(
    st.tuples(
        st.sampled_from(["red", "green"]),
        st.sampled_from(["mug", "tray"]),
        st.sampled_from(["0.5", "3", "30"]),
        st.booleans(),
    ),
    max_size=8,
)


@given(made=Made, narrowed=st.sampled_from([None, "stock:in", "stock:out", "price:GBP 2-5"]), q=st.booleans())
@settings(max_examples=15)
def test_facets_are_counted_as_one_counts_by_hand(narrow_shop, made, narrowed, q):
    events, facets = [], []
    for number, (colour, noun, price, received) in enumerate(made):
        sku = Sku(f"{number}")
        events.append(
            ProductCreated(
                sku=sku,
                title=f"{colour} {noun}",
                stocked=True,
                unit_price=price,
                currency="GBP",
                created_at=NOW,
            )
        )
        if received:
            events.append(StockReceived(sku=sku, quantity=1, reference="", received_at=NOW))
        of_sku = {band(scaled(price), "GBP"), f"stock:{'in' if received else 'out'}"}
        if (narrowed is None or narrowed in of_sku) and (not q or noun == "mug"):
            facets.append(of_sku)
    filled(narrow_shop, events)

    (answer,) = found(narrow_shop, SearchParameters(q="mugs" if q else None, facets=narrowed, limit=2))

    counted = Counter(itertools.chain.from_iterable(facets))
    assert len(facets) == answer.matches
    assert counted == {each.facet: each.count for each in answer.facets}


@pytest.fixture(scope="module")
def narrow_shop(new_database) -> str:
    return new_database()


def test_facets_of_a_whole_catalogue_are_counted_as_one_counts_by_hand(shop):
    (answer,) = found(shop, SearchParameters(q="heart", facets="category:kitchen"))
    matching = [each for each in MADE if each.listed and each.motif == "heart" and each.room == "kitchen"]

    counts = {each.facet: each.count for each in answer.facets}

    assert len(matching) == answer.matches
    for aspect, kind in (("colour", "option:colour="), ("material", "attribute:material=")):
        expected = Counter(f"{kind}{getattr(each, aspect)}" for each in matching)
        assert expected == {name: count for name, count in counts.items() if name.startswith(kind)}


def test_too_many_to_count_are_not_counted(shop, monkeypatch):
    monkeypatch.setattr(search_sql, "FOUND_MAX", 50)

    few, with_words, many = found(
        shop,
        SearchParameters(q="heart", facets="category:kitchen"),
        SearchParameters(q="heart"),
        SearchParameters(),
    )

    assert few.matches is not None
    assert [(None, None)] * 2 == [(each.matches, each.facets) for each in (with_words, many)]
    assert many.items


@pytest.mark.parametrize(
    ("asked", "conditions"),
    [
        ({"q": "heart"}, {"ts_filter(words", "words @@"}),
        ({"q": "heart mug", "facets": "stock:in,category:kitchen"}, {"ts_filter(words", "words @@"}),
        ({"facets": "category:kitchen", "channel": "web"}, {"facet_list @>"}),
        ({"channel": "nowhere"}, {"channels)::jsonb ?"}),
        ({"currency": "GBP", "price_min": "2.05", "price_max": "2.15"}, {"price >="}),
    ],
)
def test_what_is_asked_for_is_conditioned_in_an_index(shop, asked, conditions):
    plan = asyncio.run(_plan(shop, SearchParameters(**asked)))
    conditioned = [line for line in plan if "Index Cond:" in line]

    assert "Seq Scan" not in "".join(plan)
    assert all(any(each in line for line in conditioned) for each in conditions), conditioned


def test_of_very_many_those_with_the_words_in_their_titles_come_first_and_all_others_behind(
    shop, shop_with_trigrams, monkeypatch
):
    monkeypatch.setattr(search_sql, "FOUND_MAX", 50)
    wooden = [each for each in MADE if each.material == "wooden"]
    titled = {each.sku for each in wooden if not each.listed}

    for url in (shop, shop_with_trigrams):
        pages = every_page(url, q="wooden", limit=30)

        assert titled > set(pages[:50])
        assert sorted(each.sku for each in wooden) == sorted(pages)


@pytest.mark.parametrize("sort", ["price", "-price", "newest", "title"])
def test_very_many_are_read_in_the_order_that_fewer_are_sorted_in(shop, monkeypatch, sort):
    asked = {"q": "heart", "sort": sort, "currency": "GBP", "limit": 60}
    whole = every_page(shop, **asked)
    monkeypatch.setattr(search_sql, "SORTED_MAX", 50)

    assert len(whole) > 120
    assert whole == every_page(shop, **asked)


def test_of_very_many_that_come_near_every_one_is_answered_once(shop, shop_with_trigrams, monkeypatch):
    wholes = [every_page(url, q="lampshabe", limit=100) for url in (shop, shop_with_trigrams)]
    monkeypatch.setattr(search_sql, "FOUND_MAX", 50)

    for url, whole in zip((shop, shop_with_trigrams), wholes, strict=True):
        assert len(whole) > 50
        assert sorted(whole) == sorted(every_page(url, q="lampshabe", limit=30))
