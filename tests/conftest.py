"""Real servers for all tests: started when the first test asks for one, stopped at the end, never skipped.

Addresses in the environment win. Otherwise each server is started once for the run, from a wheel or from the machine;
when it cannot be had the tests that need it fail and say what to do. What was taken is printed at the end of the run.
"""

import contextlib
import gc
import itertools
import os
import random
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
import redis
from psycopg import sql

from counterfoil.servers import chosen, kafka_jars
from counterfoil.servers.errors import ServerError
from counterfoil.servers.external import ExternalServer
from counterfoil.servers.kafka import KafkaServer
from counterfoil.servers.postgres import PostgresServer
from counterfoil.servers.redis import DATABASES, RedisServer
from counterfoil.servers.version import ServerVersion
from runtime.settings import Settings
from tests.simulation import exploring

RUN = uuid.uuid4().hex[:8]  # two runs may share a server that was given by its address
TEMPLATE = f"counterfoil_template_{RUN}"
EXTERNAL_REDIS_DATABASES = 16
PREFIX = "counterfoil-tests-"
MEMORY = Path("/dev/shm")
MEMORY_FREE_MIN = 4 * 1024**3
"""Bytes: three runs beside one another, each with a log of Postgres that grows to 1 GiB before it is cut."""

# Only for databases that live for one test: what these tests ask is never whether the disk was reached. Tests of
# crashes start servers of their own, with the settings of the product.
THROW_AWAY = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}

_taken: list[ServerVersion] = []
_numbers = itertools.count(1)


def pytest_report_header() -> list[str]:
    settings = Settings.load()
    given = {
        "postgres": settings.masked()["COUNTERFOIL_DATABASE_URL"],
        "redis": settings.masked()["COUNTERFOIL_REDIS_URL"],
        "kafka": settings.masked()["COUNTERFOIL_KAFKA_BOOTSTRAP"],
    }
    return [f"{name}: {address or 'started when a test asks for it'}" for name, address in given.items()]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Fetch Kafka's jars, if they are needed and missing, before the clock of the first test that needs them runs."""
    gc.freeze()  # what was imported is here to stay; looking through it again and again takes time from every test
    settings = Settings.load()
    if settings.kafka_bootstrap or session.config.option.collectonly:
        return
    if any(
        "kafka_server" in item.fixturenames for item in session.items if isinstance(item, pytest.Function)
    ):
        with contextlib.suppress(ServerError):  # the fixture tries again and fails its tests
            kafka_jars.jars_in(settings.cache, repository=settings.maven_repository)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _taken:
        terminalreporter.section("servers")
        for server in _taken:
            terminalreporter.line(str(server))


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def settings() -> Settings:
    """Settings as the run was started with, whatever a test does to the environment."""
    return Settings.load()


@pytest.fixture(scope="session")
def servers_directory() -> Iterator[Path]:
    """Where this run's servers live: not below pytest's own directory, which is kept for some runs."""
    _sweep()
    directory = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=_memory()))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres(settings: Settings, servers_directory: Path) -> Iterator[PostgresServer | ExternalServer]:
    directory = servers_directory / "postgres"
    with chosen.postgres_for(settings, directory=directory, server_settings=THROW_AWAY) as server:
        _taken.append(server.report())
        yield server


@pytest.fixture(scope="session")
def new_database(postgres: PostgresServer | ExternalServer) -> Iterator[Callable[[], str]]:
    """Makes a database that is migrated and empty, cloned from one that was migrated once; returns its address."""
    with psycopg.connect(postgres.url, autocommit=True) as admin:
        _create(admin, TEMPLATE, template="template1")
        from counterfoil import migrating

        migrating.migrate(_address(postgres.url, TEMPLATE))

        def make() -> str:
            name = f"counterfoil_test_{RUN}_{next(_numbers)}"
            _create(admin, name, template=TEMPLATE)
            url = _address(postgres.url, name)
            _become_installation(url)
            return url

        yield make
        _drop(admin, TEMPLATE)


@pytest.fixture
def database_url(new_database: Callable[[], str], postgres: PostgresServer | ExternalServer) -> Iterator[str]:
    """Address of a migrated, empty database for one test."""
    url = new_database()
    yield url
    with psycopg.connect(postgres.url, autocommit=True) as admin:
        _drop(admin, str(psycopg.conninfo.conninfo_to_dict(url)["dbname"]))


@pytest.fixture(scope="session")
def redis_server(settings: Settings, servers_directory: Path) -> Iterator[RedisServer | ExternalServer]:
    with chosen.redis_for(settings, directory=servers_directory / "redis") as server:
        _taken.append(server.report())
        yield server


@pytest.fixture
def redis_url(redis_server: RedisServer | ExternalServer) -> str:
    """Address of an empty logical database for one test; number 0 is left alone."""
    databases = DATABASES if isinstance(redis_server, RedisServer) else EXTERNAL_REDIS_DATABASES
    number = 1 + next(_numbers) % (databases - 1)
    url = f"{redis_server.url.rpartition('/')[0]}/{number}"
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return url


@pytest.fixture(scope="session")
def kafka_server(settings: Settings, servers_directory: Path) -> Iterator[KafkaServer | ExternalServer]:
    with chosen.kafka_for(settings, directory=servers_directory / "kafka") as server:
        _taken.append(server.report())
        yield server
        if isinstance(server, KafkaServer):
            server.kill()  # an orderly stop takes seconds, and its topics are thrown away


@pytest.fixture
def kafka(kafka_server: KafkaServer | ExternalServer) -> str:
    """Bootstrap address of a Kafka that all tests share; each test's log has topics of its own there."""
    return kafka_server.url


@pytest.fixture
def topic() -> str:
    """A topic name, or id of an installation, that no other test has."""
    return f"counterfoil-test-{uuid.uuid4().hex[:12]}"


@pytest.fixture(params=["fixed", "fresh"])
def first_seed(request: pytest.FixtureRequest) -> int:
    """The first seed of a simulation's schedules: always the same, one of its own, or the one that is asked for."""
    fixed = request.param == "fixed"
    seed = exploring.FIXED_SEED if fixed else random.SystemRandom().randrange(2**32)
    return int(os.environ.get("SIMULATION_SEED", seed))


def _memory() -> Path | None:
    """Where files stay in memory, if there is room; None: where temporary files usually are.

    Each test makes and deletes the 300 files of a database; for that a disk takes longer than most tests.
    """
    if not MEMORY.is_dir() or not os.access(MEMORY, os.W_OK):
        return None
    return MEMORY if shutil.disk_usage(MEMORY).free >= MEMORY_FREE_MIN else None


def _sweep() -> None:
    """Take away what runs that were killed left in memory."""
    for left in MEMORY.glob(f"{PREFIX}*"):
        pid = left.name.removeprefix(PREFIX).partition("-")[0]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(left, ignore_errors=True)


def _create(admin: psycopg.Connection, name: str, *, template: str) -> None:
    # Copying files is faster than logging every page while the template is small and nothing is flushed.
    statement = sql.SQL("create database {} template {} strategy file_copy")
    admin.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))


def _become_installation(url: str) -> None:
    """Copies of one database that live side by side must not meet on the servers that all tests share."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("update log.installation set id = gen_random_uuid()")


def _drop(admin: psycopg.Connection, name: str) -> None:
    admin.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))


def _address(url: str, database: str) -> str:
    return psycopg.conninfo.make_conninfo(url, dbname=database)
