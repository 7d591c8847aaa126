"""How the module finds its database, and what it says when it does not."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from uuid import uuid4

import psycopg
import pytest
from eventsourcing import persistence
from eventsourcing.persistence import InfrastructureFactory, StoredEvent
from eventsourcing.popo import POPOTrackingRecorder
from eventsourcing.utils import Environment
from psycopg import conninfo, sql

from event_store.eventsourcing import datastore
from event_store.eventsourcing_module import Factory
from event_store.log import patient_connection
from event_store.log.appending import limits
from runtime.settings import Settings
from tests.architecture.source import ROOT
from tests.event_store.transport.carrying import wait_until

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


def test_the_address_is_one_setting_as_for_the_product(log_address: str):
    assert log_address == Settings.load().model_dump()["database_url"].get_secret_value()
    factory = construct(COUNTERFOIL_DATABASE_URL=log_address)
    factory.application_recorder().insert_events([event()])
    factory.application_recorder().select_notifications(1, 1)

    assert {"counterfoil application Bank"} == {name for _, name in sessions(log_address)}
    factory.close()
    wait_until(lambda: not sessions(log_address), what="the end of its sessions")


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
        (
            {"POSTGRES_DBNAME": "x", "POSTGRES_SCHEMA": "shop"},
            "POSTGRES_SCHEMA means nothing to this module.* COUNTERFOIL_DATABASE_URL",
        ),
        (
            {"POSTGRES_DBNAME": "x", "POSTGRES_PASWORD": "y"},
            "POSTGRES_PASWORD means nothing .*POSTGRES_PASSWORD",
        ),
        ({"POSTGRES_DBNAME": "x", "BANK_POSTGRES_POOL_SIZE": "9"}, "BANK_POSTGRES_POOL_SIZE means nothing"),
    ],
)
def test_a_wrong_environment_is_said_at_once(variables: dict[str, str], said: str):
    with pytest.raises(OSError, match=said):
        construct(**variables)


@pytest.mark.parametrize(
    "variables",
    [
        {"COUNTERFOIL_DATABASE_URL": "postgresql:///x", "POSTGRES_SCHEMA": "of_a_projection"},
        {
            "POSTGRES_DBNAME": "x",
            "POSTGRES_SERVICE_HOST": "127.0.0.1",
            "POSTGRES_PORT_5432_TCP": "tcp://127.0.0.1",
        },
        {"POSTGRES_DBNAME": "x", "SHOP_POSTGRES_SCHEMA": "of_another_application"},
    ],
)
def test_variables_that_are_meant_for_others_are_left_to_them(variables: dict[str, str]):
    construct(**variables).close()


def test_a_recorder_class_of_another_module_is_refused(new_factory: NewFactory):
    factory = new_factory(TRACKING_RECORDER_TOPIC="eventsourcing.popo:POPOTrackingRecorder")

    with pytest.raises(persistence.InfrastructureFactoryError, match="LogTrackingRecorder"):
        factory.tracking_recorder()


def test_a_projection_with_rows_of_its_own_gets_the_variable_that_names_its_module(
    new_factory: NewFactory,
):
    with pytest.raises(persistence.InfrastructureFactoryError, match="TOTALS_PERSISTENCE_MODULE must name"):
        new_factory("Totals").tracking_recorder(POPOTrackingRecorder)  # type: ignore[arg-type]


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


AGAIN_S = 120.0


@pytest.fixture
def tried_again_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tried again takes longer than a busy machine may."""
    monkeypatch.setattr(limits, "RESEND_WINDOW_S", AGAIN_S)
    monkeypatch.setattr(datastore, "RETRY_WINDOW_S", AGAIN_S)


@pytest.mark.usefixtures("tried_again_for_long")
def test_a_database_without_our_tables_says_at_once_what_to_run(postgres):
    name = f"counterfoil_test_{uuid4().hex[:8]}"
    with psycopg.connect(postgres.url, autocommit=True) as admin:
        admin.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        factory = construct(COUNTERFOIL_DATABASE_URL=conninfo.make_conninfo(postgres.url, dbname=name))
        recorder = factory.application_recorder()
        began = time.monotonic()
        with pytest.raises(persistence.ProgrammingError, match="counterfoil migrate"):
            recorder.max_notification_id()
        with pytest.raises(persistence.ProgrammingError, match=r'"log\.head".*counterfoil migrate'):
            recorder.insert_events([event()])
        assert time.monotonic() - began < AGAIN_S, "it was tried again"
        factory.close()
        admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@pytest.mark.usefixtures("tried_again_for_long")
def test_a_cluster_without_our_roles_says_at_once_what_to_run(
    new_factory: NewFactory, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(patient_connection, "_TAKE_ROLE", "select set_config('role', 'never_' || %s, false)")
    recorder = new_factory().application_recorder()

    began = time.monotonic()
    with pytest.raises(persistence.ProgrammingError, match=r"never_counterfoil_writer.*counterfoil migrate"):
        recorder.max_notification_id()
    with pytest.raises(persistence.ProgrammingError, match=r"never_counterfoil_writer.*counterfoil migrate"):
        recorder.insert_events([event()])
    assert time.monotonic() - began < AGAIN_S, "it was tried again"


@pytest.mark.usefixtures("tried_again_for_long")
def test_a_login_without_the_role_says_at_once_what_to_grant(new_factory: NewFactory, database_url: str):
    login = f"stranger_{uuid4().hex[:8]}"
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute(sql.SQL("create role {} login password 'x'").format(sql.Identifier(login)))
        url = conninfo.make_conninfo(database_url, user=login, password="x")
        recorder = new_factory(COUNTERFOIL_DATABASE_URL=url).application_recorder()

        began = time.monotonic()
        with pytest.raises(persistence.ProgrammingError, match=f"grant counterfoil_writer to {login}"):
            recorder.max_notification_id()
        with pytest.raises(persistence.ProgrammingError, match=f"grant counterfoil_writer to {login}"):
            recorder.insert_events([event()])
        assert time.monotonic() - began < AGAIN_S, "it was tried again"
        admin.execute(sql.SQL("drop role {}").format(sql.Identifier(login)))


@pytest.mark.parametrize(
    ("first", "then", "said"),
    [
        ((), 5, "does not exist, or ends with version 0: its next event is not version 5"),
        ((0,), 5, "does not exist, or ends with version 0: its next event is not version 5"),
        ((0,), 0, "is at version 0: its next event is not version 0"),
        ((1, 2), 2, "is at version 2: its next event is not version 2"),
    ],
)
def test_a_conflict_says_where_the_stream_ends(
    first: tuple[int, ...], then: int, said: str, new_factory: NewFactory
):
    recorder, account = new_factory().application_recorder(), uuid4()
    recorder.insert_events([StoredEvent(account, version, "bank:Opened", b"{}") for version in first])

    with pytest.raises(persistence.IntegrityError, match=f"stream Bank-{account} {said}"):
        recorder.insert_events([StoredEvent(account, then, "bank:Opened", b"{}")])


TROUBLE = """
import uuid
from eventsourcing.persistence import PersistenceError, StoredEvent
from event_store.log.appending import limits
from event_store.eventsourcing_module import Factory
limits.RESEND_WINDOW_S = 0.1
recorder = Factory({"COUNTERFOIL_DATABASE_URL": "postgresql://x@127.0.0.1:1/x"}).application_recorder()
try:
    recorder.insert_events([StoredEvent(uuid.uuid4(), 1, "bank:Opened", b"{}")])
except PersistenceError:
    print("the application's own line")
"""


def test_the_applications_standard_output_is_its_own():
    done = subprocess.run(
        [sys.executable, "-c", TROUBLE],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )

    assert "the application's own line\n" == done.stdout
    assert "event='append_without_answer' requests=1" in done.stderr


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


def test_a_forked_process_works_over_connections_of_its_own(log_address: str):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", FORK],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert (0, "1\n2\n3\n", "") == (done.returncode, done.stdout, done.stderr)


def test_a_server_that_is_stopped_is_given_up(
    new_factory: NewFactory, database_url: str, monkeypatch: pytest.MonkeyPatch
):
    recorder = new_factory().application_recorder()
    with monkeypatch.context() as impatient:
        impatient.setattr(datastore, "READ_TIMEOUT_S", 1.0)
        recorder.max_notification_id()
        ((pid, _),) = sessions(database_url)
        os.kill(pid, signal.SIGSTOP)
        try:
            impatient.setattr(datastore, "RETRY_WINDOW_S", 0.1)
            with pytest.raises(persistence.OperationalError):
                recorder.max_notification_id()
        finally:
            os.kill(pid, signal.SIGCONT)
    assert recorder.max_notification_id() is None
