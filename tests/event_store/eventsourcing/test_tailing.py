"""Readers that follow an application never skip an event, however slow a commit is; the same test finds those that do.

Every commit stalls for up to ten milliseconds after its events have got their numbers, and eight writers race. Where
numbers are given in another order than that in which they become visible, a reader that goes on behind the highest
number it has seen leaves some behind it for ever.
"""

import gc
import queue
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from uuid import uuid4

import psycopg
import pytest
from eventsourcing import postgres as library_module
from eventsourcing.persistence import ApplicationRecorder, InfrastructureFactory, Notification, StoredEvent
from eventsourcing.utils import Environment
from psycopg import conninfo, sql

from event_store.eventsourcing.notifications import ApplicationLog, LogSubscription
from event_store.eventsourcing_module import Factory
from event_store.log import hints
from event_store.log.appending.threaded import ThreadedWriter
from tests.appends import append_request
from tests.event_store.transport.carrying import wait_until

NewFactory = Callable[..., Factory]

WRITERS = 8
SAVES_PER_WRITER = 40

STALL_AT_COMMIT = """
create function public.stall() returns trigger language plpgsql as $$
begin
    perform pg_sleep(random() * 0.01);
    return null;
end
$$;
create constraint trigger stall after insert on {} deferrable initially deferred
    for each row execute function public.stall()
"""
INSERT = "insert into numbered (note) values ('') returning id"

Save = Callable[[], list[int]]


def event(topic: str = "bank:Opened") -> StoredEvent:
    return StoredEvent(uuid4(), 1, topic, b'{"amount": 7}')


def stall_commits(url: str, *table: str) -> None:
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(sql.SQL(STALL_AT_COMMIT).format(sql.Identifier(*table)))


def saved_while_read(saves: list[Save], read: Callable[[int], list[int]]) -> tuple[set[int], list[int]]:
    """What was saved, and what a reader saw that goes on behind the last number it has seen until all is saved."""
    all_saved = threading.Event()

    def save_often(save: Save) -> list[int]:
        return [number for _ in range(SAVES_PER_WRITER) for number in save()]

    def follow() -> list[int]:
        seen: list[int] = []
        while True:
            last_read = all_saved.is_set()
            seen += read(seen[-1] if seen else 0)
            if last_read:
                return seen

    with ThreadPoolExecutor(WRITERS + 1) as threads:
        following = threads.submit(follow)
        saving = [threads.submit(save_often, save) for save in saves]
        saved = {number for each in saving for number in each.result()}
        all_saved.set()
        return saved, following.result()


def saves_of(recorders: list[ApplicationRecorder]) -> list[Save]:
    def save(recorder: ApplicationRecorder) -> list[int]:
        time.sleep(random.random() * 0.002)
        return list(recorder.insert_events([event()]) or ())

    return [lambda recorder=each: save(recorder) for each in recorders]  # type: ignore[misc]


def ids_behind(recorder: ApplicationRecorder) -> Callable[[int], list[int]]:
    return lambda last: [
        each.id for each in recorder.select_notifications(last, 1_000, inclusive_of_start=False)
    ]


@pytest.fixture
def writers(new_factory: NewFactory) -> list[ApplicationRecorder]:
    """Each with a connection of its own, as if each were a process."""
    return [new_factory().application_recorder() for _ in range(WRITERS)]


def test_a_reader_of_notifications_never_skips(
    writers: list[ApplicationRecorder], new_factory: NewFactory, database_url: str
):
    stall_commits(database_url, "log", "event")

    saved, seen = saved_while_read(saves_of(writers), ids_behind(new_factory().application_recorder()))

    assert list(range(1, WRITERS * SAVES_PER_WRITER + 1)) == sorted(saved) == seen


def test_a_subscription_never_skips_on_a_log_that_the_shop_shares(
    writers: list[ApplicationRecorder], new_factory: NewFactory, database_url: str
):
    stall_commits(database_url, "log", "event")
    shop = ThreadedWriter(database_url)

    def sell() -> list[int]:
        shop.append(append_request())
        return []

    with new_factory().application_recorder().subscribe() as subscription:

        def read(_last: int) -> list[int]:
            return [next(subscription).id]

        stopping = threading.Timer(240, subscription.stop)
        stopping.start()
        saves = [*saves_of(writers[1:]), sell]
        saved, seen = _saved_while_subscribed(saves, read)
        stopping.cancel()
    shop.close()

    assert (WRITERS - 1) * SAVES_PER_WRITER == len(saved)
    assert sorted(saved) == seen


def _saved_while_subscribed(
    saves: list[Save], read: Callable[[int], list[int]]
) -> tuple[set[int], list[int]]:
    """As above for a reader that waits: it stops when it has seen as many as were saved."""

    def save_often(save: Save) -> list[int]:
        return [number for _ in range(SAVES_PER_WRITER) for number in save()]

    with ThreadPoolExecutor(WRITERS + 1) as threads:
        following = threads.submit(
            lambda: [number for _ in range((WRITERS - 1) * SAVES_PER_WRITER) for number in read(0)]
        )
        saving = [threads.submit(save_often, save) for save in saves]
        saved = {number for each in saving for number in each.result()}
        return saved, following.result()


def test_this_test_finds_that_a_reader_of_a_serial_column_skips(database_url: str):
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute("create table numbered (id bigserial primary key, note text)")
    stall_commits(database_url, "public", "numbered")
    connections = [psycopg.connect(database_url, autocommit=True) for _ in range(WRITERS + 1)]

    def save(connection: psycopg.Connection) -> list[int]:
        return [number for (number,) in connection.execute(INSERT).fetchall()]

    saved, seen = saved_while_read(
        [lambda connection=each: save(connection) for each in connections[1:]],  # type: ignore[misc]
        lambda last: [
            number
            for (number,) in connections[0].execute(
                "select id from numbered where id > %s order by id", [last]
            )
        ],
    )
    for connection in connections:
        connection.close()

    assert WRITERS * SAVES_PER_WRITER == len(saved)
    assert saved - set(seen)


@pytest.fixture
def library_factories(database_url: str) -> Iterator[Callable[..., library_module.PostgresFactory]]:
    """Makes factories of the library's own Postgres module."""
    made: list[library_module.PostgresFactory] = []
    address = {key: str(value) for key, value in conninfo.conninfo_to_dict(database_url).items()}

    def make(**variables: str) -> library_module.PostgresFactory:
        given = {
            "PERSISTENCE_MODULE": "eventsourcing.postgres",
            "POSTGRES_DBNAME": address["dbname"],
            "POSTGRES_HOST": address["host"],
            "POSTGRES_PORT": address["port"],
            "POSTGRES_USER": address["user"],
            "POSTGRES_PASSWORD": address.get("password", ""),
            "POSTGRES_POOL_SIZE": "1",
            **variables,
        }
        factory = InfrastructureFactory.construct(Environment("Bank", given))
        assert isinstance(factory, library_module.PostgresFactory)
        made.append(factory)
        return factory

    yield make
    for factory in made:
        factory.close()


def test_this_test_finds_that_the_librarys_own_faster_mode_skips(
    library_factories: Callable[..., library_module.PostgresFactory], database_url: str
):
    """Its function inserts without the table lock of its slower mode."""
    recorders = [
        library_factories(POSTGRES_ENABLE_DB_FUNCTIONS="y").application_recorder() for _ in range(WRITERS + 1)
    ]
    stall_commits(database_url, "public", "bank_events")

    saved, seen = saved_while_read(saves_of(recorders[1:]), ids_behind(recorders[0]))

    assert WRITERS * SAVES_PER_WRITER == len(saved)
    assert saved - set(seen)


def test_a_subscription_reads_only_once_events_of_other_topics(new_factory: NewFactory):
    factory = new_factory()
    recorder = factory.application_recorder()
    for topic in ("bank:Opened", "bank:Closed", "bank:Opened", "bank:Opened"):
        recorder.insert_events([event(topic)])
    events = ApplicationLog(factory.datastore, namespace=factory.namespace)

    found, read_up_to = events.tail(0, limit=10, topics=["bank:Closed"])
    assert ([2], 4) == ([each.id for each in found], read_up_to)
    assert ([], 4) == events.tail(4, limit=10, topics=["bank:Closed"])
    found, read_up_to = events.tail(0, limit=2, topics=["bank:Opened"])
    assert ([1, 3], 3) == ([each.id for each in found], read_up_to)


@contextmanager
def received(recorder: ApplicationRecorder) -> Iterator[queue.SimpleQueue[int]]:
    """The ids that a subscription yields in a thread of its own."""
    ids: queue.SimpleQueue[int] = queue.SimpleQueue()
    with recorder.subscribe() as subscription:
        thread = threading.Thread(target=lambda: [ids.put(each.id) for each in subscription])
        thread.start()
        yield ids
    thread.join()


def listeners(url: str) -> list[int]:
    """Server processes of the subscriptions that have read all there is and wait."""
    with psycopg.connect(url, autocommit=True) as admin:
        return [
            pid
            for (pid,) in admin.execute(
                "select pid from pg_stat_activity where datname = current_database()"
                " and state = 'idle' and query like 'listen %'"
            )
        ]


def test_an_idle_subscription_is_woken_by_the_process_that_records(
    new_factory: NewFactory, database_url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(hints, "POLL_S", 3_600.0)
    writer = new_factory().application_recorder()
    with received(new_factory().application_recorder()) as ids:
        wait_until(lambda: len(listeners(database_url)) == 1, what="a subscription that listens")
        for number in range(1, 11):
            writer.insert_events([event()])

            assert number == ids.get(timeout=60)


def test_a_hint_is_for_one_application(new_factory: NewFactory, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(hints, "POLL_S", 3_600.0)
    events = ApplicationLog((bank := new_factory("Bank")).datastore, namespace=bank.namespace)
    listener = events.listener()
    listener.listen()
    new_factory("Bank2").application_recorder().insert_events([event()])
    bank.application_recorder().insert_events([event()])
    listener.wait()
    connection = listener._ends.connection
    assert connection is not None
    connection.pgconn.consume_input()

    assert connection.pgconn.notifies() is not None
    assert connection.pgconn.notifies() is None
    listener.close()


def test_a_lost_hint_costs_no_more_than_the_next_poll(
    new_factory: NewFactory, database_url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(hints, "POLL_S", 0.2)
    monkeypatch.setattr(hints, "send", lambda *_: None)
    writer = new_factory().application_recorder()
    with received(new_factory().application_recorder()) as ids:
        wait_until(lambda: len(listeners(database_url)) == 1, what="a subscription that listens")
        writer.insert_events([event()])

        assert ids.get(timeout=60) == 1


def test_a_subscription_that_lost_its_connection_listens_again(
    new_factory: NewFactory, database_url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(hints, "POLL_S", 0.2)
    writer = new_factory().application_recorder()
    with received(new_factory().application_recorder()) as ids:
        wait_until(lambda: len(listeners(database_url)) == 1, what="a subscription that listens")
        (lost,) = listeners(database_url)
        with psycopg.connect(database_url, autocommit=True) as admin:
            admin.execute("select pg_terminate_backend(%s, 5000)", [lost])
        wait_until(lambda: listeners(database_url) not in ([], [lost]), what="a new connection")
        writer.insert_events([event()])

        assert ids.get(timeout=60) == 1


def test_subscriptions_that_wait_cost_next_to_nothing(new_factory: NewFactory, database_url: str):
    reads: list[float] = []

    class Counted(ApplicationLog):
        def tail(self, after: int, *, limit: int, topics: Sequence[str]) -> tuple[list[Notification], int]:
            reads.append(time.monotonic())
            return super().tail(after, limit=limit, topics=topics)

    factory = new_factory()
    events = Counted(factory.datastore, namespace=factory.namespace)
    recorder = factory.application_recorder()
    subscriptions = [LogSubscription(recorder, events=events) for _ in range(10)]
    threads = [threading.Thread(target=lambda each=each: list(each)) for each in subscriptions]  # type: ignore[misc]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(listeners(database_url)) == len(threads), what="subscriptions that listen")
    reads_before, processor_s, began = len(reads), time.process_time(), time.monotonic()
    time.sleep(2 * hints.POLL_S)
    reads_meanwhile, processor_s = len(reads) - reads_before, time.process_time() - processor_s
    passed_s = time.monotonic() - began
    for subscription in subscriptions:
        subscription.stop()
    for thread in threads:
        thread.join()

    assert reads_meanwhile <= len(threads) * (passed_s / hints.POLL_S + 1)
    assert processor_s / passed_s < 0.05  # every 20 ms, as it once was, took a quarter of a core


def test_a_subscription_that_is_stopped_or_forgotten_disconnects(new_factory: NewFactory, database_url: str):
    recorder = new_factory().application_recorder()
    recorder.insert_events([event()])
    stopped, forgotten = recorder.subscribe(), recorder.subscribe()
    next(stopped)
    next(forgotten)
    wait_until(lambda: len(listeners(database_url)) == 2, what="two subscriptions that listen")

    stopped.stop()
    del forgotten
    gc.collect()
    wait_until(lambda: not listeners(database_url), what="no connection that listens")


def test_a_waiting_subscription_is_stopped_from_another_thread(new_factory: NewFactory):
    with new_factory().application_recorder().subscribe() as subscription:
        threading.Timer(0.1, subscription.stop).start()

        assert [] == list(subscription)
