"""Every role compares the database's migrations with its own before it begins."""

import contextlib
import json
import signal
import socket
import subprocess
import sys
import threading

import psycopg
import pytest
from structlog.testing import capture_logs

from counterfoil import doctor, migrating
from counterfoil.cli import main
from counterfoil.cli.answering import EXIT_FAILED, EXIT_NOT_MIGRATED
from devservers import child
from devservers.standalone import ROLES
from runtime import database
from runtime.migrations import ChangedMigration, Component, NotMigrated
from runtime.settings import Settings
from tests import forking
from tests.acceptance import running


@pytest.fixture
def lacking(database_url):
    """A database that lacks the migrations of process managers, of which some are of before deployment."""
    with database.connect(database_url, role="counterfoil_owner", name="test") as owner:
        owner.execute("delete from counterfoil.migration where component = 'commands'")
    return database_url


def test_no_role_starts_on_a_database_that_lacks_what_it_needs(lacking, tmp_path):
    environment = running.environment(tmp_path, COUNTERFOIL_DATABASE_URL=lacking)
    ended = {role: forking.run(running.command(role), env=environment, timeout=300) for role in ROLES}

    assert dict.fromkeys(ROLES, EXIT_NOT_MIGRATED) == {role: each.returncode for role, each in ended.items()}
    for role in ROLES:
        assert "the database lacks commands/0001_processes.sql, commands/" in ended[role].stderr
        assert "run `counterfoil migrate --pre`" in ended[role].stderr


def test_a_command_api_waits_for_its_database_and_ends_when_it_is_asked_to(tmp_path):
    nowhere = f"postgresql://nobody@127.0.0.1:{child.free_port()}/none"
    environment = running.environment(tmp_path, COUNTERFOIL_DATABASE_URL=nowhere)
    output = tmp_path / "output"
    with (
        output.open("wb") as errors,
        forking.popen(running.command("command-api"), env=environment, stderr=errors) as started,
    ):
        running.wait_until(
            lambda: output.read_text().count("database_not_reached") >= 2, within_s=240, what="two attempts"
        )
        started.send_signal(signal.SIGTERM)
        code = started.wait(60)

    lines = output.read_text().splitlines()
    assert (0, {"database_not_reached"}) == (code, {json.loads(line)["event"] for line in lines})


def test_a_role_that_waited_for_its_database_refuses_one_that_lacks_what_it_needs(lacking, monkeypatch):
    def not_reached(_url):
        monkeypatch.setattr(migrating, "require", require)
        raise psycopg.OperationalError("connection refused")

    require = migrating.require
    monkeypatch.setattr(migrating, "require", not_reached)
    monkeypatch.setattr(migrating, "UNREACHED_POLL_S", 0.01)

    with pytest.raises(NotMigrated):
        migrating.wait_until_migrated(Settings(database_url=lacking), threading.Event())


def test_a_command_api_whose_database_goes_away_while_it_starts_ends_with_a_message(database_url, tmp_path):
    with reached_once(database_url) as address:
        environment = running.environment(tmp_path, COUNTERFOIL_DATABASE_URL=address)
        ended = forking.run(running.command("command-api"), env=environment, timeout=300)

    assert EXIT_FAILED == ended.returncode
    assert ended.stderr.startswith("counterfoil: Postgres cannot be reached or refuses: ")
    assert "Traceback" not in ended.stderr


@contextlib.contextmanager
def reached_once(url):
    """The address of a database that takes one connection, and refuses those after it."""
    server = psycopg.conninfo.conninfo_to_dict(url)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = psycopg.conninfo.make_conninfo(url, host="127.0.0.1", port=listening.getsockname()[1])

        def carry(source, sink):
            while data := source.recv(65_536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

        def take_one():
            client, _ = listening.accept()
            listening.close()
            with client, socket.create_connection((server["host"], int(server["port"]))) as upstream:
                answers = threading.Thread(target=carry, args=(upstream, client))
                answers.start()
                carry(client, upstream)
                answers.join()

        taking = threading.Thread(target=take_one)
        taking.start()
        yield address
        taking.join()


@pytest.mark.parametrize("host", ["127.0.0.1", "203.0.113.1"], ids=["taken", "elsewhere"])
def test_a_role_that_cannot_listen_where_it_is_to_ends_with_a_message_that_names_the_address(
    database_url, tmp_path, host
):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        hosts = ("COMMAND_API_HOST", "QUERY_API_HOST", "HEALTH_HOST")
        ports = ("COMMAND_API", "QUERY_API", "RELAY_HEALTH", "PROJECTIONS_HEALTH", "PROCESSES_HEALTH")
        settings = {
            **{f"COUNTERFOIL_{name}": host for name in hosts},
            **{f"COUNTERFOIL_{name}_PORT": str(port) for name in ports},
        }
        environment = running.environment(tmp_path, COUNTERFOIL_DATABASE_URL=database_url, **settings)
        ended = {role: forking.run(running.command(role), env=environment, timeout=300) for role in ROLES}

    assert dict.fromkeys(ROLES, EXIT_FAILED) == {role: each.returncode for role, each in ended.items()}
    for each in ended.values():
        assert f"counterfoil: nothing can listen at {host}:{port}: " in each.stderr
        assert "Traceback" not in each.stderr


def test_workers_and_commands_import_neither_routes_nor_what_only_apis_and_senders_call_with():
    """Every process reads the declared contexts: what these import, hundreds of processes pay for."""
    commands = "counterfoil.status, counterfoil.replaying, counterfoil.doctor"
    relay = "event_store.transport.relay"
    views = "projections.consumers, projections.acts"
    managers = (
        "commands.processes.runner, commands.processes.timers, commands.gateways.sending, commands.security"
    )
    loaded = (
        f"import sys, counterfoil.hosting, counterfoil.contexts, {commands}, {relay}, {views}, {managers}"
    )
    then = "print(*sys.modules); import counterfoil.applications; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", f"{loaded}; {then}"], capture_output=True, text=True, check=True
    )
    workers, apis = (set(line.split()) for line in done.stdout.splitlines())

    unused = {
        "fastapi",
        "starlette",
        "uvicorn",
        "httpx",
        "argon2",
        "joserfc",
        "commands.ordering",
        "read_api.ordering",
    }
    assert set() == unused & workers
    assert set() == {"commands.app", "read_api.app"} & apis, "an API imports the other one"


def test_a_command_imports_no_ways_that_it_does_not_take_and_nothing_that_draws(tmp_path):
    says = (
        "import atexit, sys; atexit.register(lambda: print(*sys.modules)); sys.argv[1:] = ['views', 'list']"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"{says}; from counterfoil.cli.main import main; main()"],
        env=running.environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    loaded = set(done.stdout.split())

    assert {"counterfoil.viewing", "structlog"} <= loaded
    assert set() == {"rich", "fastapi", "httpx", "counterfoil.acts.on_the_log"} & loaded


def test_what_may_come_after_deployment_is_logged_and_no_reason_not_to_start(
    database_url, tmp_path, monkeypatch
):
    ours = migrating.components()
    (tmp_path / "0001_dropped.sql").write_text("-- post-deployment\nselect 1;")
    monkeypatch.setattr(migrating, "components", lambda: (*ours, Component("later", tmp_path)))

    with capture_logs() as logged:
        migrating.require(database_url)

    (line,) = logged
    assert ("post_deployment_migrations_pending", ["later/0001_dropped.sql"]) == (
        line["event"],
        line["migrations"],
    )
    assert "counterfoil migrate --post" in line["hint"]
    assert "note" == verdict_on_migrations(database_url, tmp_path)


def test_what_was_applied_to_the_log_is_printed_where_the_key_database_is_not_reached(
    database_url, tmp_path, monkeypatch, capsys
):
    ours = migrating.components()
    (tmp_path / "0001_added.sql").write_text("-- pre-deployment\nselect 1;")
    monkeypatch.setattr(migrating, "components", lambda: (*ours, Component("later", tmp_path)))
    nowhere = f"postgresql://nobody@127.0.0.1:{child.free_port()}/none"
    for name, value in running.environment(
        tmp_path, COUNTERFOIL_DATABASE_URL=database_url, COUNTERFOIL_KEYS_DATABASE_URL=nowhere
    ).items():
        monkeypatch.setenv(name, value)

    with pytest.raises(psycopg.OperationalError):
        main.migrate()

    assert "applied later/0001_added.sql\n" == capsys.readouterr().out


def test_a_database_that_is_ahead_is_no_reason_not_to_start(database_url, tmp_path):
    with database.connect(database_url, role="counterfoil_owner", name="test") as owner:
        owner.execute(
            "insert into counterfoil.migration (component, name, digest) values ('later', '0001.sql', '')"
        )

    with capture_logs() as logged:
        migrating.require(database_url)

    assert ["database_is_ahead"] == [line["event"] for line in logged]
    assert "note" == verdict_on_migrations(database_url, tmp_path)


def test_a_database_that_was_migrated_by_other_files_is_refused(database_url):
    with database.connect(database_url, role="counterfoil_owner", name="test") as owner:
        owner.execute("update counterfoil.migration set digest = 'x' where component = 'commands'")

    with pytest.raises(ChangedMigration):
        migrating.require(database_url)


def test_a_doctor_names_what_is_missing(lacking, tmp_path):
    with pytest.raises(NotMigrated):
        migrating.require(lacking)
    assert "bad" == verdict_on_migrations(lacking, tmp_path)


def verdict_on_migrations(url, home):
    checks = doctor.examine(Settings(home=home, database_url=url))
    return next(check.verdict for check in checks if check.name == "migrations")
