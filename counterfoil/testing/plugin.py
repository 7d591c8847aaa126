"""Fixtures for pytest: `pytest_plugins = ["counterfoil.testing.plugin"]` in the outermost conftest.py.

For simulations there are `first_seed` and `explored`. For tests on a log there are `database_url`, the address of a
migrated and empty database of one test, and `new_database`, which makes several, or copies of one. They are in the
Postgres that COUNTERFOIL_DATABASE_URL names, or in one that is started once for the run (the distribution
counterfoil-devservers, and the extra `servers`) when a test first asks for it. A server that cannot be had fails the
tests that need it.
"""

import itertools
import os
import random
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psycopg
import pytest
from psycopg import sql

from counterfoil.servers.server_version import ServerVersion
from counterfoil.testing import scheduling
from counterfoil.testing.scheduling import FIXED_SEED, Problems, Run
from runtime.settings import Settings

if TYPE_CHECKING:  # servers are imported when a test asks for one: what they import takes time, and warns
    from counterfoil.servers.unmanaged import ExternalServer
    from devservers.postgres import PostgresServer

SEED_VARIABLE: Final = "SIMULATION_SEED"
PREFIX: Final = "counterfoil-tests-"
MEMORY: Final = Path("/dev/shm")  # nosec B108  # noqa: S108 - directories in it have names of their own
MEMORY_FREE_MIN: Final = 4 * 1024**3
"""Bytes: three runs in parallel, each with a log of Postgres that grows to 1 GiB before it is cut."""

THROW_AWAY: Final = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "400",  # of all applications that tests of one run share, and of those of one test
}
"""Only for databases that live for one test: what tests on them ask is never whether the disk was reached."""

STARTED: Final = pytest.StashKey[list[ServerVersion]]()
"""Servers that this run takes, for its summary."""

CLONED_SINCE: Final = 18_00_00
"""Version of Postgres that can leave copying files to the kernel, which takes half the time."""

RUN: Final = uuid.uuid4().hex[:8]  # two runs may share a server that was given by its address
TEMPLATE: Final = f"counterfoil_template_{RUN}"

Explored = Callable[..., Mapping[int, Problems]]

_numbers = itertools.count(1)


def pytest_configure(config: pytest.Config) -> None:
    """Remember the servers that tests ask for."""
    config.stash[STARTED] = []


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config
) -> None:
    """Name the servers that were taken, with versions."""
    del exitstatus
    if started := config.stash[STARTED]:
        terminalreporter.section("servers")
        for server in started:
            terminalreporter.line(str(server))


@pytest.fixture(params=["fixed", "fresh"])
def first_seed(request: pytest.FixtureRequest) -> int:
    """The first seed of a simulation's schedules: always the same, one of its own, or the one that is asked for."""
    fixed = request.param == "fixed"
    seed = FIXED_SEED if fixed else random.SystemRandom().randrange(2**32)
    return int(os.environ.get(SEED_VARIABLE, seed))


@pytest.fixture
def explored(first_seed: int, capsys: pytest.CaptureFixture[str]) -> Explored:
    """Runs as many schedules as a test asks for, and says which, whatever pytest captures; the problems by seed."""

    def explore(run: Run, *, schedules: int) -> Mapping[int, Problems]:
        with capsys.disabled():
            return scheduling.explore(run, first_seed, schedules=schedules)

    return explore


@pytest.fixture(scope="session")
def settings() -> Settings:
    """Settings as the run was started with, whatever a test does to the environment."""
    return Settings.load()


@pytest.fixture(scope="session")
def servers_taken(pytestconfig: pytest.Config) -> list[ServerVersion]:
    """Servers of this run so far; a test that starts another one adds it."""
    return pytestconfig.stash[STARTED]


@pytest.fixture(scope="session")
def servers_directory() -> Iterator[Path]:
    """Where this run's servers live: not below pytest's own directory, which is kept for some runs."""
    _sweep()
    directory = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=_memory()))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres(
    settings: Settings, servers_directory: Path, servers_taken: list[ServerVersion]
) -> Iterator["PostgresServer | ExternalServer"]:
    """The Postgres of this run."""
    with _postgres(settings, servers_directory / "postgres") as server:
        servers_taken.append(server.report())
        yield server


def _postgres(settings: Settings, directory: Path) -> "PostgresServer | ExternalServer":
    if settings.database_url is not None:
        from counterfoil.servers import unmanaged

        return unmanaged.postgres_at(settings.database_url.get_secret_value())
    from counterfoil import optional

    optional.require("devservers", what="a Postgres for tests (or COUNTERFOIL_DATABASE_URL)")
    from devservers import postgres

    return postgres.start_postgres(directory, programs_folder=settings.postgres_bin, settings=THROW_AWAY)


class NewDatabase:
    """Makes databases, each of them an installation of its own, on one server; see the fixture `new_database`."""

    def __init__(self, admin: psycopg.Connection, url: str) -> None:
        self._admin = admin
        self._url = url

    def __call__(self, *, like: str | None = None) -> str:
        """The address of a database that is migrated and empty, or of a copy of another that nobody is connected to."""
        name = f"counterfoil_test_{RUN}_{next(_numbers)}"
        _create(self._admin, name, template=TEMPLATE if like is None else _name(like))
        url = _address(self._url, name)
        _become_installation(url)
        return url

    def drop(self, url: str) -> None:
        """Delete a database, also while sessions are connected to it."""
        _drop(self._admin, _name(url))


@pytest.fixture(scope="session")
def new_database(postgres: "PostgresServer | ExternalServer") -> Iterator[NewDatabase]:
    """Makes a database that is migrated and empty, cloned from one that was migrated once; returns its address.

    `new_database(like=url)` copies that one.
    """
    from counterfoil import migrating

    with psycopg.connect(postgres.url, autocommit=True) as admin:
        if admin.info.server_version >= CLONED_SINCE:
            admin.execute("set file_copy_method = clone")
        _create(admin, TEMPLATE, template="template1")
        migrating.migrate(_address(postgres.url, TEMPLATE))
        yield NewDatabase(admin, postgres.url)
        _drop(admin, TEMPLATE)


@pytest.fixture
def database_url(new_database: NewDatabase) -> Iterator[str]:
    """Address of a migrated, empty database for one test."""
    url = new_database()
    yield url
    new_database.drop(url)


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
        if pid.isdigit() and not _is_alive(int(pid)):
            shutil.rmtree(left, ignore_errors=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True


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


def _name(url: str) -> str:
    return str(psycopg.conninfo.conninfo_to_dict(url)["dbname"])
