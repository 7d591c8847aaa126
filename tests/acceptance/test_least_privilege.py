"""Every role and command on a Postgres of somebody else, each with a login that has the roles of its part alone."""

import contextlib
import time

import httpx
import psycopg
import pytest
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate
from psycopg import sql

from counterfoil import privileges
from devservers import child
from devservers.postgres import start_postgres
from runtime.keyring import master
from tests import forking
from tests.acceptance.running import PROJECT, STARTED_WITHIN_S, command, environment, run, wait_until
from tests.counterfoil import commanding

pytestmark = pytest.mark.slow

PROCESSES = ("command-api", "query-api", "relay", "projections", "processes", "sealer", "consumers")
PASSWORD = "for-tests"
KEY_FILE = "seal.key"
VIEW = "order_summary"
WORKERS_WITHIN_S = 120.0
NOTHING_PARKED = ("parked show", "parked retry", "parked skip")
ARGUMENTS = {
    "replay": ("order-o1",),
    "views verify": (VIEW,),
    "views rebuild": (VIEW,),
    "views promote": (VIEW,),
    "views rollback": (VIEW,),
    "views drop": (VIEW,),
    "parked show": (VIEW, "order-o1"),
    "parked retry": ("fulfilment", "order-o1"),
    "pause": ("timers",),
    "resume": ("timers",),
    "parked skip": (VIEW, "order-o1", "1", "--reason", "none"),
    "log fence": ("--reason", "a drill", "--yes"),
    "audit prove": ("--position", "1"),
    "audit certify": ("--view", VIEW),
}


def library_database(home):
    """A database of the eventsourcing library with one aggregate in it, as the command names it."""
    file = home / "library.sqlite"
    environment = {"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": str(file)}
    application = Application(env=environment)
    application.save(Aggregate())
    application.close()
    return f"sqlite:{file}"


def password_file(home):
    """A file with a password, for its owner alone."""
    file = home / "password"
    file.touch(mode=0o600)
    file.write_text("correct horse battery staple")
    return file


class Foreign:
    """A server with a database that an administrator prepared as `counterfoil roles --sql` says."""

    def __init__(self, url, home):
        self.home = home
        self.home.mkdir()
        master.create(self.home / "master.key")
        self._arguments = ARGUMENTS | {
            "import eventsourcing": ("Application", "--from", library_database(home)),
            "seal-key generate": (home / "another.key",),
            "audit export": (home / "bundle", "--from", "1", "--to", "1"),
            "account create-owner": ("--email", "owner@example.org", "--password-file", password_file(home)),
        }
        for name in ("keys", "shop"):
            self._url = url
            self.execute("create database {}", name)
            self._url = psycopg.conninfo.make_conninfo(url, dbname=name)
            self.execute("revoke all on database {} from public", name)
            self.execute("revoke all on schema public from public")
            self.execute(run(home, "roles", "--sql").stdout)
        for part in privileges.PARTS:
            self.execute(f"alter role {{}} password '{PASSWORD}'", self.login(part))

    def execute(self, statement, *names):
        with psycopg.connect(self._url, autocommit=True) as admin:
            admin.execute(sql.SQL(statement).format(*map(sql.Identifier, names)) if names else statement)

    def login(self, part):
        return privileges.LOGIN_PREFIX + part.login

    def url(self, part, *, of="shop"):
        return psycopg.conninfo.make_conninfo(self._url, dbname=of, user=self.login(part), password=PASSWORD)

    def run(self, part, name, *given):
        """One command; a roll back may have to wait until the workers have moved both builds to one place."""
        arguments = (*name.split(), *(given or self._arguments.get(name, ())))
        give_up = time.monotonic() + WORKERS_WITHIN_S
        while True:
            result = commanding.run(
                self.home,
                *arguments,
                database_url=self.url(part),
                COUNTERFOIL_KEYS_DATABASE_URL=self.url(part, of="keys"),
                COUNTERFOIL_SEAL_KEY=str(self.home / KEY_FILE),
            )
            if "wait for the workers" not in result.stderr or time.monotonic() > give_up:
                return result


@pytest.fixture
def foreign(tmp_path):
    settings = {"fsync": "off", "synchronous_commit": "off"}
    with start_postgres(tmp_path / "foreign", settings=settings) as server:
        yield Foreign(server.url, tmp_path / "home")


@contextlib.contextmanager
def processes(foreign):
    """Every process with the login of its own part; yields the addresses of both APIs."""
    ports = {name: child.free_port() for name in ("COMMAND_API", "QUERY_API")}
    settings = {f"COUNTERFOIL_{name}_PORT": str(port) for name, port in ports.items()}
    settings["COUNTERFOIL_SEAL_KEY"] = str(foreign.home / KEY_FILE)
    started = []
    try:
        for part in privileges.PARTS:
            if part.commands[0] in PROCESSES:
                given = environment(
                    foreign.home,
                    **settings,
                    COUNTERFOIL_DATABASE_URL=foreign.url(part),
                    COUNTERFOIL_KEYS_DATABASE_URL=foreign.url(part, of="keys"),
                )
                with (foreign.home / f"{part.login}.log").open("wb") as output:
                    process = forking.popen(
                        command(part.commands[0]), env=given, cwd=PROJECT, stdout=output, stderr=output
                    )
                started.append(process)
        yield {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
    finally:
        for process in started:
            process.terminate()
        codes = [process.wait(120) for process in started]
    assert [0] * len(PROCESSES) == codes


def answers(url, **members):
    try:
        return (
            httpx.get(url, trust_env=False, timeout=60).status_code == 200
            and members.items() <= httpx.get(url, trust_env=False, timeout=60).json().items()
        )
    except httpx.TransportError:
        return False


def sell(apis):
    """An order that every process had its part in: accepted, carried, confirmed and shown."""
    wait_until(lambda: ready(apis["COMMAND_API"]), within_s=STARTED_WITHIN_S, what="the command API is ready")
    line = {"sku": "postage", "quantity": 1, "unit_price": "1.00"}
    order = {"order_id": "o1", "country": "Italy", "currency": "GBP", "lines": [line]}
    post(f"{apis['COMMAND_API']}/v1/products", {"sku": "postage", "title": "POSTAGE", "stocked": False})
    post(f"{apis['COMMAND_API']}/v1/orders", order)
    shown = f"{apis['QUERY_API']}/v1/orders/o1"
    wait_until(
        lambda: answers(shown, status="confirmed"), within_s=STARTED_WITHIN_S, what="the order is confirmed"
    )


def post(url, body):
    sent = httpx.post(url, json=body, headers={"Idempotency-Key": url}, trust_env=False, timeout=60)
    assert sent.status_code == 201, sent.text


def ready(url):
    try:
        return httpx.get(f"{url}/readyz", trust_env=False, timeout=60).status_code == 200
    except httpx.TransportError:
        return False


def went_well(result, name):
    """Whether a command had the rights it needed; some find nothing to do, and say so."""
    if name in NOTHING_PARKED:
        return result.exit_code == 1 and ("not parked" in result.stderr or "nothing parked" in result.stderr)
    return result.exit_code == 0


def test_every_process_and_command_runs_with_the_roles_of_its_part_and_not_with_fewer(foreign):
    part_of = {name: part for part in privileges.PARTS for name in part.commands}
    commands = [name for name in part_of if name not in (*PROCESSES, "migrate", "log fence")]

    assert went_well(foreign.run(part_of["migrate"], "migrate"), "migrate")
    assert went_well(foreign.run(part_of["sealer"], "seal-key generate", foreign.home / KEY_FILE), "seal-key")
    with processes(foreign) as apis:
        sell(apis)
        wait_until(
            lambda: foreign.run(part_of["audit prove"], "audit prove").exit_code == 0,
            within_s=STARTED_WITHIN_S,
            what="the first event is sealed",
        )
        results = {name: foreign.run(part_of[name], name) for name in commands}

        assert [] == [
            (name, result.stderr) for name, result in results.items() if not went_well(result, name)
        ]

        for name in ("auditor", "operator"):
            part = next(part for part in privileges.PARTS if part.login == name)
            for role in part.roles:
                foreign.execute("revoke {} from {}", role, foreign.login(part))
                refusal = f"may not take the role {role}"
                refused = any(refusal in foreign.run(part, command).stderr for command in part.commands)
                foreign.execute("grant {} to {}", role, foreign.login(part))

                assert refused, role
    assert went_well(foreign.run(part_of["log fence"], "log fence"), "log fence")
