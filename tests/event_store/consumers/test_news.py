"""Hints of processes that append, and what waits in the processes that hear them."""

import threading
import time

import psycopg
import pytest
from prometheus_client import CollectorRegistry

from event_store.consumers.hearing import hearing
from event_store.consumers.news import News
from event_store.log import hints
from event_store.log.appending.threaded import ThreadedWriter
from event_store.log.appending.writer import Writer
from event_store.log.envelope import NEW
from event_store.log.hints import HINT_PAUSE_S, LogHints
from event_store.transport import relay
from event_store.transport.local_transport import LocalTransport
from runtime import database
from tests.appends import append_request
from tests.consuming import hosting
from tests.event_store.transport.carrying import wait_until

PATIENCE_S = 60.0
"""What a busy machine may take."""

SESSIONS = "select pid from pg_stat_activity where datname = current_database() and application_name = %s"


@pytest.fixture
def news(database_url):
    """News of a process that hears hints, none of which comes by the clock."""
    news = News()
    with hearing(database_url, news):
        wait_until(lambda: news.hinted and news.count, what="a connection for hints, which is news itself")
        yield news


@pytest.fixture(autouse=True)
def only_hints(monkeypatch):
    """No listener wakes up by the clock."""
    monkeypatch.setattr(hints, "POLL_S", 3_600.0)


def cut(url, name):
    """End the sessions of a name; how many there were."""
    with psycopg.connect(url, autocommit=True) as connection:
        pids = connection.execute(SESSIONS, [f"counterfoil {name}"]).fetchall()
        for pid in pids:
            connection.execute("select pg_terminate_backend(%s)", pid)
    return len(pids)


def test_news_since_a_count_ends_a_wait_at_once():
    news = News()
    seen = news.count
    news.announce()

    assert (True, False) == (
        news.wait_beyond(seen, timeout_s=0.0),
        news.wait_beyond(news.count, timeout_s=0.0),
    )


def test_news_ends_the_waits_of_all_threads():
    news, woken = News(), []
    threads = [
        threading.Thread(target=lambda: woken.append(news.wait_beyond(0, timeout_s=30.0))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    news.announce()
    for thread in threads:
        thread.join()

    assert [True] * 3 == woken


async def test_a_process_hears_what_another_appended(database_url, news):
    seen = news.count
    async with Writer.open(database_url) as writer:
        await writer.append(append_request("order-1"))
        heard = news.wait_beyond(seen, timeout_s=PATIENCE_S)

    assert heard


async def test_a_refused_append_and_one_without_events_are_no_news(database_url, news):
    seen = news.count
    async with Writer.open(database_url) as writer:
        await writer.append(append_request("order-1"))
        assert news.wait_beyond(seen, timeout_s=PATIENCE_S)
        seen = news.count
        await writer.append(append_request("order-1", version=NEW))
        await writer.append(append_request(events=()))

        assert not news.wait_beyond(seen, timeout_s=5 * hints.HINT_PAUSE_S)


def test_many_appends_in_a_row_are_few_hints(database_url, news):
    sender = LogHints(database_url, name="test")
    before, began = news.count, time.monotonic()
    while time.monotonic() < began + 0.5:
        sender.request()
        time.sleep(0.001)
    sender.close()
    took_s = time.monotonic() - began
    wait_until(lambda: news.count > before, what="a hint")

    assert news.count - before <= took_s / hints.HINT_PAUSE_S + 2


def test_a_listener_that_lost_its_connection_says_so_and_listens_again(database_url, news, monkeypatch):
    monkeypatch.setattr(hints, "POLL_S", 0.05)
    seen = news.count

    assert 1 == cut(database_url, "hints")
    wait_until(lambda: news.count > seen, what="news of the loss: something may have been missed")
    wait_until(lambda: news.hinted, what="a connection for hints again")
    seen = news.count
    sender = LogHints(database_url, name="test")
    sender.request()
    sender.close()

    assert news.wait_beyond(seen, timeout_s=PATIENCE_S)


def test_who_cannot_be_reached_is_hinted_nothing_and_fails_nobody(database_url):
    sender = LogHints("host=127.0.0.1 port=1", name="test")
    sender.request()
    sender.close()


def test_hints_go_on_over_a_new_connection(database_url, news):
    seen = news.count
    sender = LogHints(database_url, name="test")
    sender.request()
    assert news.wait_beyond(seen, timeout_s=PATIENCE_S)
    wait_until(lambda: cut(database_url, "test hints") == 1, what="the connection of hints to be cut")
    seen = news.count
    wait_until(lambda: sender.request() or news.count > seen, what="a hint over a new connection")
    sender.close()


def test_the_other_writer_hints_nothing_by_itself(database_url, news):
    """Its user, the adapter of the library, sends hints of the application and of the log in one statement."""
    seen = news.count
    writer = ThreadedWriter(database_url)
    writer.append(append_request("order-1"))
    writer.close()

    assert not news.wait_beyond(seen, timeout_s=3 * hints.HINT_PAUSE_S)


def test_a_lost_hint_costs_no_more_than_the_longest_wait(database_url):
    """A consumer that wrongly expects hints reads the log all the same."""
    news = News()
    news.hinted = True
    carrier = relay.consumer(LocalTransport(database_url, news=news), registry=CollectorRegistry())
    with hosting(database_url, [carrier], news=news):
        wait_until(lambda: position(database_url) == 0, what="a relay that waits")
        time.sleep(2 * HINT_PAUSE_S)
        writer = ThreadedWriter(database_url)
        writer.append(append_request("order-1"))
        writer.close()
        wait_until(
            lambda: position(database_url) == 1,
            what="the event",
            timeout_s=relay.WAITS.longest_s + PATIENCE_S,
        )


def position(url):
    """Where the relay stands."""
    with database.connect(url, role="counterfoil_reader", name="test") as conn:
        return conn.execute("select position from transport.relay").fetchone()[0]
