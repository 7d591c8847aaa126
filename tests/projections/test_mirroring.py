"""Documents follow the commit; a cache that is empty, old, foreign or away is never taken for the truth."""

import socket

import pytest
import redis

from event_store.consumers import parking
from event_store.log import reading
from projections.mirroring import REFRESH_INTERVAL_S, UNCONCERNED_INTERVAL_S, body_of, id_of
from runtime import database
from runtime.documents import (
    Document,
    DocumentsUnavailable,
    MemoryDocuments,
    RedisDocuments,
    checkpoint_key,
    document_key,
    parse_checkpoint,
    parse_document,
    prefix,
)
from tests.parked import request_retry
from tests.projections.counting import DOCUMENT_TTL_S, POISON, Faults, counting_views, counts
from tests.projections.feeding import append, feeding, history, let_builds_stand_apart, settle, stored

DOCUMENT = "counting:counter"


@pytest.fixture
def faults():
    return Faults()


@pytest.fixture
def views(faults):
    return counting_views(faults)[:1]


@pytest.fixture
def url(database_url, views):
    settle(database_url)
    return database_url


@pytest.fixture
def conn(url):
    with database.connect(url, role="counterfoil_projector", name="test") as conn:
        yield conn


@pytest.fixture(params=["memory", "redis"])
def documents(request):
    kept = (
        MemoryDocuments()
        if request.param == "memory"
        else RedisDocuments(request.getfixturevalue("redis_url"))
    )
    yield kept
    kept.close()


def prefix_in(conn, *, epoch=1):
    """What the keys of the first build of this log begin with."""
    installation = reading.history(conn).installation
    return prefix(DOCUMENT, installation=installation, epoch=epoch, build="s1_b1")


def trusted(documents, conn, view, *, epoch=1):
    """The documents that a reader would trust: those whose partition's checkpoint has reached the build's."""
    cursors = dict(
        conn.execute("select partition, position from views.checkpoint where view = 'counters' and build = 1")
    )
    beginning = prefix_in(conn, epoch=epoch)
    keys = [checkpoint_key(beginning, partition=partition) for partition in cursors]
    points = documents.get_many(keys)
    return all(
        value is not None and parse_checkpoint(value).position >= position
        for value, position in zip(points, cursors.values(), strict=True)
    )


def assert_documents_hold_the_rows(documents, conn, view):
    rows = stored(conn, view)
    values = documents.get_many([document_key(prefix_in(conn), id_of(key)) for key in rows])
    assert {key: (row.position, body_of(row.row)) for key, row in rows.items() if row.row} == {
        key: parse_document(value) for key, value in zip(rows, values, strict=True) if value is not None
    }
    assert trusted(documents, conn, view)


class Weather:
    """Documents that are away when a test says so."""

    def __init__(self, kept):
        self.kept = kept
        self.away = False
        self.lost_answers = 0

    def __getattr__(self, name):
        def call(*arguments, **named):
            if self.away:
                raise DocumentsUnavailable("away")
            answer = getattr(self.kept, name)(*arguments, **named)
            if self.lost_answers and name == "move_checkpoints":
                self.lost_answers -= 1
                raise DocumentsUnavailable("done, but the answer was lost")
            return answer

        return call


def test_documents_hold_the_rows_of_a_document_view(url, conn, views, documents):
    with feeding(url, views, documents=documents) as feeder:
        append(url, counts(*[(f"c{number % 7}", number) for number in range(50)]))
        feeder.catch_up()
        append(url, counts(*[(f"c{number % 9}", number) for number in range(50)]))
        feeder.catch_up()

    assert_documents_hold_the_rows(documents, conn, views[0])
    if isinstance(documents, RedisDocuments):
        lives_s = documents._client.ttl(document_key(prefix_in(conn), "c1"))
        assert pytest.approx(lives_s, abs=60) == DOCUMENT_TTL_S, "as long as the view says"


def test_a_worker_that_restarts_goes_on_without_writing_everything_again(url, conn, views, documents):
    append(url, counts(("a", 1), ("b", 2)))
    with feeding(url, views, documents=documents) as feeder:
        feeder.catch_up()
    with feeding(url, views, documents=documents) as feeder:
        append(url, counts(("a", 3)))
        feeder.catch_up()
        rewritten = feeder.count(
            "counterfoil_projection_rewritten_documents_total", view="counters", build="s1_b1"
        )

    assert rewritten == 0
    assert_documents_hold_the_rows(documents, conn, views[0])


def test_a_flushed_cache_is_written_again(url, conn, views, documents):
    with feeding(url, views, documents=documents) as feeder:
        append(url, counts(("a", 1), ("b", 2)))
        feeder.catch_up()
        documents.forget("")
        append(url, counts(("a", 3)))
        feeder.catch_up()

    assert_documents_hold_the_rows(documents, conn, views[0])


def test_a_flushed_cache_of_a_quiet_log_is_written_again_within_a_minute(url, conn, views, documents):
    with feeding(url, views, documents=documents) as feeder:
        append(url, counts(("a", 1), ("b", 2)))
        feeder.catch_up()
        feeder.now += REFRESH_INTERVAL_S
        feeder.round()
        documents.forget("")
        feeder.now += REFRESH_INTERVAL_S
        feeder.catch_up()

    assert_documents_hold_the_rows(documents, conn, views[0])


def test_a_cache_that_came_back_with_old_contents_is_brought_up_to_date(url, conn, views):
    documents = MemoryDocuments()
    with feeding(url, views, documents=documents) as feeder:
        append(url, counts(("a", 1), ("b", 2)))
        feeder.catch_up()
        dump = dict(documents._values)
        append(url, counts(("a", 3), ("b", 4), ("c", 5)))
        feeder.catch_up()
        documents._values = dump
        assert not trusted(documents, conn, views[0])
        append(url, counts(("b", 6)))
        feeder.catch_up()

    assert_documents_hold_the_rows(documents, conn, views[0])


def test_an_old_cache_found_at_a_restart_is_brought_up_to_date(url, conn, views):
    documents = MemoryDocuments()
    with feeding(url, views, documents=documents) as feeder:
        append(url, counts(("a", 1), ("b", 2)))
        feeder.catch_up()
        dump = dict(documents._values)
        append(url, counts(("a", 3), ("c", 5)))
        feeder.catch_up()
    documents._values = dump
    with feeding(url, views, documents=documents) as feeder:
        feeder.catch_up()

    assert_documents_hold_the_rows(documents, conn, views[0])


def test_a_cache_of_another_history_is_emptied_first(url, conn, views, documents):
    append(url, counts(("a", 1), ("b", 2)))
    with feeding(url, views) as feeder:
        feeder.catch_up()
    documents.put_if_newer(
        [
            Document(checkpoint_key(prefix_in(conn), partition=3), 9, b"ab" * 32),
            Document(document_key(prefix_in(conn), "a"), 999, b'{"count":7}'),
        ]
    )
    with feeding(url, views, documents=documents) as feeder:
        feeder.catch_up()

    assert_documents_hold_the_rows(documents, conn, views[0])


def test_an_outage_never_stops_the_rows_and_is_made_good_afterwards(url, conn, views, documents):
    weather = Weather(documents)
    with feeding(url, views, documents=weather) as feeder:
        append(url, counts(("a", 1), ("b", 2)))
        feeder.catch_up()
        weather.away = True
        for number in range(5):
            append(url, counts(("a", number), ("c", number)))
            feeder.round()
        positions = set(feeder.positions().values())
        assert max(positions) == reading.head(conn).position
        assert not trusted(documents, conn, views[0])
        weather.away = False
        feeder.now += 60
        feeder.catch_up()

    assert_documents_hold_the_rows(documents, conn, views[0])


def test_a_lost_answer_is_not_taken_for_a_lost_write(url, conn, views, documents):
    weather = Weather(documents)
    with feeding(url, views, documents=weather) as feeder:
        append(url, counts(("a", 1), ("b", 2)))
        feeder.catch_up()
        weather.lost_answers = 1
        append(url, counts(("a", 2)))
        feeder.round()
        append(url, counts(("a", 3), ("b", 1)))
        feeder.catch_up()

    assert_documents_hold_the_rows(documents, conn, views[0])


def test_documents_ahead_of_rows_that_a_crash_took_back_stay_and_are_met_again(url, conn, views):
    documents = MemoryDocuments()
    append(url, counts(("a", 1), ("b", 2)))
    with feeding(url, views, documents=documents) as feeder:
        feeder.catch_up()
        checkpoints = conn.execute(
            "select partition, position, leaf, revision from views.checkpoint where build = 1"
        ).fetchall()
        append(url, counts(("a", 3)))
        feeder.catch_up()
    with database.connect(
        url, role="counterfoil_projector", name="crash"
    ) as crash:  # the last commit is lost
        let_builds_stand_apart(crash)
        for partition, position, leaf, revision in checkpoints:
            crash.execute(
                "update views.build_checkpoint set position = %s, leaf = %s, revision = %s where partition = %s",
                [position, leaf, revision, partition],
            )
        crash.execute("delete from views.counters_s1_b1")
        crash.execute(
            "insert into views.counters_s1_b1 (counter, count, total, numbers, position) values"
            " ('a', 1, 1, '[1]', 1), ('b', 1, 2, '[2]', 2)"
        )
    with feeding(url, views, documents=documents) as feeder:
        feeder.catch_up()
        append(url, counts(("a", 4), ("b", 5)))
        feeder.catch_up()

    assert_documents_hold_the_rows(documents, conn, views[0])


def test_checkpoints_that_no_documents_move_follow_within_a_part_of_a_second(url, conn, views):
    documents = MemoryDocuments()
    append(url, counts(("a", 1)))
    with feeding(url, views, documents=documents) as feeder:
        feeder.catch_up()
        append(url, history(48, steps=1))
        feeder.round(seconds=0.001)
        at_first = trusted(documents, conn, views[0])
        feeder.round(seconds=UNCONCERNED_INTERVAL_S)
        assert (False, True) == (at_first, trusted(documents, conn, views[0]))


def test_a_retried_key_is_not_trusted_from_documents_until_it_is_written(
    url, conn, views, faults, monkeypatch
):
    documents = MemoryDocuments()
    weather = Weather(documents)
    append(url, counts(("a", 1), ("a", POISON), ("a", 3)))
    with feeding(url, views, documents=weather) as feeder:
        feeder.catch_up()
        faults.numbers.clear()
        request_retry(conn, "counters", "counter-a")
        with monkeypatch.context() as dying:
            dying.setattr(feeder.mirror, "after_commit", lambda _plans: None)  # dies right behind the commit
            feeder.round()
            feeder.round()
        assert parking.listed(conn) == []
        assert not trusted(documents, conn, views[0])
    with feeding(url, views, documents=weather) as feeder:
        feeder.catch_up()

    assert_documents_hold_the_rows(documents, conn, views[0])


def test_a_retry_waits_for_a_cache_that_is_away(url, conn, views, faults):
    weather = Weather(MemoryDocuments())
    append(url, counts(("a", 1), ("a", POISON)))
    with feeding(url, views, documents=weather) as feeder:
        feeder.catch_up()
        faults.numbers.clear()
        weather.away = True
        request = request_retry(conn, "counters", "counter-a")
        feeder.round()
        assert parking.outcome_of(conn, request) is None
        weather.away = False
        feeder.now += 60
        feeder.catch_up()

    assert parking.outcome_of(conn, request) is not None
    assert_documents_hold_the_rows(weather.kept, conn, views[0])


def test_many_rows_are_written_again_page_by_page(url, conn, views, monkeypatch):
    monkeypatch.setattr("projections.mirroring.ROWS_PER_STEP", 10)
    append(url, counts(*[(f"c{number}", number) for number in range(45)]))
    with feeding(url, views) as feeder:
        feeder.catch_up()
    documents = MemoryDocuments()
    with feeding(url, views, documents=documents) as feeder:
        feeder.round()
        feeder.round()
        append(url, counts(("c1", 1), ("c44", 1)))
        feeder.catch_up()

    assert_documents_hold_the_rows(documents, conn, views[0])


def test_a_cache_that_hangs_costs_the_rows_one_wait(url, conn, views, redis_url):
    documents = RedisDocuments(redis_url)
    with feeding(url, views, documents=documents) as feeder:
        append(url, counts(("a", 1)))
        feeder.catch_up()
        with redis.Redis.from_url(redis_url) as client:
            client.client_pause(120_000, all=False)
            for number in range(10):
                append(url, counts(("a", number)))
                feeder.round(seconds=0.01)
            waits = feeder.count("counterfoil_projection_documents_unavailable_total")
            behind = max(feeder.positions().values()) < reading.head(conn).position
            client.client_unpause()
        feeder.now += 60
        feeder.catch_up()

    assert not behind
    assert 0 < waits < 8, "ten rounds: a wait for each would be more"
    assert_documents_hold_the_rows(documents, conn, views[0])
    documents.close()


def test_an_unreachable_cache_costs_the_rows_little(url, conn, views):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        documents = RedisDocuments(f"redis://127.0.0.1:{taken.getsockname()[1]}/0")
        with feeding(url, views, documents=documents) as feeder:
            append(url, counts(("a", 1)))
            feeder.catch_up()
            tried = feeder.count("counterfoil_projection_documents_unavailable_total")

    assert 0 < tried < 10
    assert len(stored(conn, views[0])) == 1
