"""How the module finds its database, and what it says when it does not."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from uuid import uuid4

import psycopg
import pytest
from eventsourcing import persistence
from eventsourcing.persistence import InfrastructureFactory, StoredEvent
from eventsourcing.utils import Environment
from psycopg import conninfo, sql

from event_store.appending import limits
from event_store.door import datastore
from event_store.eventsourcing_module import Factory
from runtime.settings import Settings
from tests.architecture.source import ROOT

NewFactory = Callable[..., Factory]
MODULE = "event_store.eventsourcing_module"


def construct(**variables: str) -> Factory:
    factory = InfrastructureFactory.construct(
        Environment("Bank", {"PERSISTENCE_MODULE": MODULE, **variables})
    )
    assert isinstance(factory, Factory)
    return factory


def event() -> StoredEvent:
    return StoredEvent(uuid4(), 1, "bank:Opened", b"{}")


def sessions(url: str) -> list[tuple[int, str]]:
    with psycopg.connect(url, autocommit=True) as admin:
        return admin.execute(
            "select pid, application_name from pg_stat_activity"
            " where datname = current_database() and application_name like 'counterfoil application %'"
        ).fetchall()


def test_the_address_is_one_setting_as_for_the_product(door: str):
    assert door == Settings.load().model_dump()["database_url"].get_secret_value()
    factory = construct(COUNTERFOIL_DATABASE_URL=door)
    factory.application_recorder().insert_events([event()])
    factory.application_recorder().select_notifications(1, 1)

    assert {"counterfoil application Bank"} == {name for _, name in sessions(door)}
    factory.close()
    assert [] == sessions(door)


def test_an_applications_own_variable_wins(database_url: str):
    factory = construct(
        COUNTERFOIL_DATABASE_URL="postgresql:///elsewhere", BANK_COUNTERFOIL_DATABASE_URL=database_url
    )

    assert [1] == factory.application_recorder().insert_events([event()])
    factory.close()


def test_the_variables_of_the_librarys_own_module_will_do(database_url: str):
    parts = conninfo.conninfo_to_dict(database_url)
    factory = construct(
        POSTGRES_DBNAME=str(parts["dbname"]),
        POSTGRES_HOST=str(parts["host"]),
        POSTGRES_PORT=str(parts["port"]),
        POSTGRES_USER=str(parts["user"]),
        POSTGRES_PASSWORD=str(parts.get("password", "")),
    )

    assert [1] == factory.application_recorder().insert_events([event()])
    factory.close()


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, "COUNTERFOIL_DATABASE_URL is not set"),
        (
            {"COUNTERFOIL_DATABASE_URL": "postgresql:///x", "ORIGINATOR_ID_TYPE": "int"},
            "'uuid' or 'text', not 'int'",
        ),
        (
            {"COUNTERFOIL_DATABASE_URL": "postgresql:///x", "COUNTERFOIL_DATABASE_POOL_SIZE": "0"},
            "from 1, not '0'",
        ),
        (
            {"COUNTERFOIL_DATABASE_URL": "postgresql:///x", "COUNTERFOIL_DATABASE_POOL_SIZE": "many"},
            "not 'many'",
        ),
    ],
)
def test_a_wrong_environment_is_said_at_once(variables: dict[str, str], said: str):
    with pytest.raises(OSError, match=said):
        construct(**variables)


def test_a_recorder_class_of_another_module_is_refused(new_factory: NewFactory):
    factory = new_factory(TRACKING_RECORDER_TOPIC="eventsourcing.popo:POPOTrackingRecorder")

    with pytest.raises(persistence.InfrastructureFactoryError, match="LogTrackingRecorder"):
        factory.tracking_recorder()


def test_no_more_connections_are_opened_for_reading_than_allowed(new_factory: NewFactory, database_url: str):
    recorder = new_factory(COUNTERFOIL_DATABASE_POOL_SIZE="2").application_recorder()
    readers = [
        threading.Thread(target=lambda: [recorder.max_notification_id() for _ in range(50)])
        for _ in range(16)
    ]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()

    assert 0 < len(sessions(database_url)) <= 2


def test_a_database_without_our_tables_says_what_to_run(postgres, monkeypatch: pytest.MonkeyPatch):
    name = f"counterfoil_test_{uuid4().hex[:8]}"
    monkeypatch.setattr(limits, "RESEND_WINDOW_S", 0.1)
    with psycopg.connect(postgres.url, autocommit=True) as admin:
        admin.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        factory = construct(COUNTERFOIL_DATABASE_URL=conninfo.make_conninfo(postgres.url, dbname=name))
        recorder = factory.application_recorder()
        with pytest.raises(persistence.ProgrammingError, match="counterfoil migrate"):
            recorder.max_notification_id()
        with pytest.raises(persistence.PersistenceError, match=r"log\.head"):
            recorder.insert_events([event()])
        factory.close()
        admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


def test_a_server_that_cannot_be_reached_is_an_operational_error(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "RESEND_WINDOW_S", 0.1)
    monkeypatch.setattr(datastore, "RETRY_WINDOW_S", 0.1)
    recorder = construct(COUNTERFOIL_DATABASE_URL="postgresql://x@127.0.0.1:1/x").application_recorder()

    with pytest.raises(persistence.OperationalError):
        recorder.insert_events([event()])
    with pytest.raises(persistence.OperationalError):
        recorder.select_notifications(1, 1)


def test_a_closed_application_says_so(new_factory: NewFactory):
    factory = new_factory()
    recorder = factory.application_recorder()
    factory.close()

    with pytest.raises(persistence.InterfaceError):
        recorder.insert_events([event()])
    with pytest.raises(persistence.InterfaceError):
        recorder.max_notification_id()


def test_nobody_notices_that_all_connections_were_lost(new_factory: NewFactory, database_url: str):
    factory = new_factory()
    recorder, snapshots = factory.application_recorder(), factory.aggregate_recorder("snapshots")
    for number in range(1, 4):
        snapshots.insert_events([event()])  # tried once, so a lost connection must be noticed before
        assert [number] == recorder.insert_events([event()])
        assert number == recorder.max_notification_id()
        with psycopg.connect(database_url, autocommit=True) as admin:
            for pid, _ in sessions(database_url):
                admin.execute("select pg_terminate_backend(%s, 5000)", [pid])


FORK = """
import os, uuid
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate
application = Application()
one = Aggregate()
print(application.save(one)[0].notification.id, flush=True)
application.repository.get(one.id)
child = os.fork()
if child == 0:
    application.repository.get(one.id)
    print(application.save(Aggregate())[0].notification.id, flush=True)
    application.close()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
application.repository.get(one.id)
print(application.save(Aggregate())[0].notification.id, flush=True)
"""


def test_a_forked_process_works_over_connections_of_its_own(door: str):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", FORK],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (0, "1\n2\n3\n", "") == (done.returncode, done.stdout, done.stderr)


def test_a_server_that_is_stopped_is_given_up(
    new_factory: NewFactory, database_url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(datastore, "RETRY_WINDOW_S", 0.1)
    monkeypatch.setattr(datastore, "READ_TIMEOUT_S", 1.0)
    recorder = new_factory().application_recorder()
    recorder.max_notification_id()
    ((pid, _),) = sessions(database_url)
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(persistence.OperationalError):
            recorder.max_notification_id()
    finally:
        os.kill(pid, signal.SIGCONT)
    assert recorder.max_notification_id() is None
