"""Real servers for all tests: started when the first test asks for one, stopped at the end, never skipped.

Addresses in the environment win. Otherwise each server is started once for the run, from a wheel or from the machine;
when it cannot be had the tests that need it fail and say what to do. What was taken is printed at the end of the run.
"""

import contextlib
import functools
import gc
import itertools
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
import redis
import structlog
from psycopg import sql

from counterfoil import migrating
from counterfoil.servers.errors import ServerError
from counterfoil.servers.server_version import ServerVersion
from counterfoil.servers.unmanaged import ExternalServer
from devservers import child, chosen, kafka_jars
from devservers.kafka import KafkaServer
from devservers.postgres import PostgresServer
from devservers.redis import DATABASES, RedisServer
from read_api import connections
from runtime import priority
from runtime.settings import Settings
from tests import forking, sizes

if TYPE_CHECKING:  # pytest imports its plugins itself
    from counterfoil.testing.plugin import NewDatabase

pytest_plugins = ["counterfoil.testing.plugin"]

EXTERNAL_REDIS_DATABASES = 16
PATIENCE_S = 60.0

YOUNG_OBJECTS_MAX = 10_000
"""Objects that may gather in a run of tests before the garbage collector goes through them; Python's default is 700."""

_numbers = itertools.count(1)


def pytest_configure() -> None:
    """Log lines without the values of variables; properties that are judged by their examples alone."""
    # An application that a test builds is many thousand objects; by default they are gone through again and again.
    gc.set_threshold(YOUNG_OBJECTS_MAX, *gc.get_threshold()[1:])
    # The default prints tracebacks with every local variable: seconds in which a server under test answers nobody.
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
        ]
    )
    child.popen = forking.popen
    # An audit that gave way to the other runs of the tests would stand for minutes, here as in what is forked.
    priority.BACKGROUND_NICE = 0
    import hypothesis

    # An example that takes long, or is long in the drawing, says only that the machine has other work too.
    hypothesis.settings.register_profile(
        "counterfoil",
        max_examples=sizes.PROPERTIES.chosen,
        deadline=None,
        suppress_health_check=[hypothesis.HealthCheck.too_slow],
    )
    hypothesis.settings.load_profile("counterfoil")


def pytest_unconfigure() -> None:
    forking.stop()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """How long a test may take is said for the size of the gate."""
    if sizes.FULL:
        for item in items:
            item.add_marker(pytest.mark.timeout(0), append=False)


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


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def patient_reads() -> Iterator[None]:
    """A query API in this process gives its database a minute: a test machine may be too busy for the usual 3 s.

    Tests of the deadlines set those that they need.
    """
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(connections, "READ_TIMEOUT_S", PATIENCE_S)
        patched.setattr(connections, "CONNECTION_WAIT_S", PATIENCE_S)
        patched.setattr(connections, "STATEMENT_TIMEOUT", f"{PATIENCE_S:.0f}s")
        yield


@pytest.fixture(scope="session")
def new_shop(new_database: "NewDatabase") -> Callable[[], str]:
    """Makes a database as a shop's first start leaves it: nothing in it, the transport settled, a build of each view.

    It is a copy: the tables and indexes of all views would take many tests longer than all else they do.
    """
    # Imported when a test asks for it: tests of decisions alone need not wait for all contexts.
    from counterfoil.contexts import CONTEXTS
    from projections import builds
    from runtime import database
    from tests.projections.feeding import settle

    url = new_database()
    settle(url)
    with database.connect(url, role="counterfoil_projector", name="test") as conn:
        builds.ensure_builds(conn, CONTEXTS.views)
    return functools.partial(new_database, like=url)


@pytest.fixture
def shop_url(new_shop: Callable[[], str], new_database: "NewDatabase") -> Iterator[str]:
    """Address of such a database for one test."""
    url = new_shop()
    yield url
    new_database.drop(url)


@pytest.fixture(scope="session")
def key_database(postgres: PostgresServer | ExternalServer) -> Iterator[str]:
    """A database of data keys that all tests share, one after the other."""
    name = f"counterfoil_keys_{uuid.uuid4().hex[:8]}"
    url = psycopg.conninfo.make_conninfo(postgres.url, dbname=name)
    with psycopg.connect(postgres.url, autocommit=True) as admin:
        admin.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        migrating.migrate(url, of=migrating.components_of_keys)
        yield url
        admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@pytest.fixture
def keys_database_url(key_database: str) -> str:
    """Address of a migrated database without any data key."""
    with psycopg.connect(key_database, autocommit=True) as admin:
        admin.execute("truncate keys.subject, keys.lookup")
    return key_database


@pytest.fixture(scope="session")
def redis_server(
    settings: Settings, servers_directory: Path, servers_taken: list[ServerVersion]
) -> Iterator[RedisServer | ExternalServer]:
    with chosen.redis_for(settings, directory=servers_directory / "redis") as server:
        servers_taken.append(server.report())
        yield server


@pytest.fixture
def redis_url(redis_server: RedisServer | ExternalServer) -> str:
    """Address of an empty logical database for one test; number 0 and the last one are left alone."""
    url = numbered(redis_server, 1 + next(_numbers) % (_databases(redis_server) - 2))
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return url


@pytest.fixture(scope="session")
def kept_redis_url(redis_server: RedisServer | ExternalServer) -> str:
    """Address of a logical database that no other test empties."""
    return numbered(redis_server, _databases(redis_server) - 1)


def numbered(server: RedisServer | ExternalServer, number: int) -> str:
    """Address of a logical database."""
    return f"{server.url.rpartition('/')[0]}/{number}"


def _databases(server: RedisServer | ExternalServer) -> int:
    return DATABASES if isinstance(server, RedisServer) else EXTERNAL_REDIS_DATABASES


@pytest.fixture(scope="session")
def kafka_server(
    pytestconfig: pytest.Config,
    settings: Settings,
    servers_directory: Path,
    servers_taken: list[ServerVersion],
) -> Iterator[KafkaServer | ExternalServer]:
    with chosen.kafka_for(settings, directory=servers_directory / "kafka") as server:
        servers_taken.append(server.report())
        # kafka-python 3.0.12 forgets a socket that is connected after it gave it up, which any later test may collect.
        port = server.url.rpartition(":")[2]
        pytestconfig.addinivalue_line(
            "filterwarnings", rf"ignore:unclosed <socket\.socket .*, {port}\)>:ResourceWarning"
        )
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
