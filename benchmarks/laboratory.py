"""The servers that benchmarks run against: real ones of their own, with the product's settings, everything flushed."""

import contextlib
import io
import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Self

import psycopg
from psycopg import sql

from benchmarks import slow_disk
from benchmarks.measuring import Size
from benchmarks.table import OWN_DISK, SLOW_DISK
from counterfoil import migrating, probing
from counterfoil.runfile import Running
from devservers import child, kafka, postgres, redis, standalone, supervisor
from devservers.child import Child
from devservers.kafka import KafkaServer
from devservers.postgres import PostgresServer
from devservers.redis import DATABASES, RedisServer
from devservers.server import Server
from runtime.settings import Settings

READY_S_MAX: Final = 240.0
STOP_S_MAX: Final = 10.0
SOURCES: Final = Path(__file__).resolve().parent.parent

_numbers = itertools.count(1)


class Laboratory:
    """Servers by need, all below one directory, all stopped at the end. Use it as a context manager."""

    def __init__(self, size: Size, *, import_file: Path | None = None) -> None:
        self.size = size
        self.import_file = import_file
        self.settings = Settings()
        self.versions: dict[str, str] = {}
        self._stack = contextlib.ExitStack()
        self._postgres: dict[str, PostgresServer] = {}
        self._migrated: set[str] = set()
        self._redis: RedisServer | None = None
        self._kafka: KafkaServer | None = None
        self._library: Path | None = None
        self._shop: Running | None = None

    def __enter__(self) -> Self:
        self.directory = Path(tempfile.mkdtemp(prefix="counterfoil-benchmarks-"))
        self.directory.chmod(0o755)  # the server's own user reads the preloaded library here
        self._stack.callback(shutil.rmtree, self.directory, ignore_errors=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def postgres(self, disk: str = OWN_DISK) -> PostgresServer:
        """A Postgres whose disk is this machine's, or a millisecond slower.

        Raises:
            NoCompiler: a slow disk cannot be made here.
        """
        if disk not in self._postgres:
            with self.on(disk):
                server = postgres.start_postgres(
                    self.directory / f"postgres-{len(self._postgres)}",
                    programs_folder=self.settings.postgres_bin,
                )
            self._postgres[disk] = self._stack.enter_context(server)
            self._name(server)
        return self._postgres[disk]

    @contextlib.contextmanager
    def on(self, disk: str) -> Iterator[None]:
        """What is started meanwhile has that disk."""
        if disk == OWN_DISK:
            yield
            return
        assert disk == SLOW_DISK
        if self._library is None:
            self._library = slow_disk.compiled(self.directory)
        with slow_disk.preloaded(self._library):
            yield

    @contextlib.contextmanager
    def database(self, disk: str = OWN_DISK, *, migrated: bool = True) -> Iterator[str]:
        """The address of a new database, dropped afterwards; a migrated one is a copy of one that was migrated."""
        admin = self.postgres(disk).url
        template = self._template(disk) if migrated else "template1"
        name = f"benchmark_{next(_numbers)}"
        with psycopg.connect(admin, autocommit=True) as connection:
            statement = sql.SQL("create database {} template {}")
            connection.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))
        try:
            url = psycopg.conninfo.make_conninfo(admin, dbname=name)
            if migrated:
                with psycopg.connect(url, autocommit=True) as connection:
                    connection.execute("update log.installation set id = gen_random_uuid()")
            yield url
        finally:
            with psycopg.connect(admin, autocommit=True) as connection:
                connection.execute(
                    sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name))
                )

    def _template(self, disk: str) -> str:
        """The database that is migrated, once on each disk."""
        name = "benchmark_template"
        if disk not in self._migrated:
            admin = self.postgres(disk).url
            with psycopg.connect(admin, autocommit=True) as connection:
                connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
            migrating.migrate(psycopg.conninfo.make_conninfo(admin, dbname=name))
            self._migrated.add(disk)
        return name

    def redis_url(self) -> str:
        """The address of a logical database of its own."""
        if self._redis is None:
            server = redis.start_redis(self.directory / "redis", program=self.settings.redis_server)
            self._redis = self._stack.enter_context(server)
            self._name(server)
        return f"{self._redis.url.rpartition('/')[0]}/{1 + next(_numbers) % (DATABASES - 1)}"

    def kafka(self) -> str:
        """Bootstrap address of a Kafka; use topics of your own. At tiny size it is the shop's."""
        if self.size.tiny:
            with self.shop(distributed=True) as running:
                assert running.addresses.kafka_bootstrap is not None
                return running.addresses.kafka_bootstrap
        if self._kafka is None:
            server = kafka.start_kafka(
                self.directory / "kafka",
                cache=self.settings.cache,
                java=self.settings.java,
                repository=self.settings.maven_repository,
            )
            self._kafka = self._stack.enter_context(server)
            self._name(server)
        return self._kafka.bootstrap

    def _name(self, server: Server) -> None:
        """Keep which program of which version a server of the benchmark's own is."""
        report = server.report()
        self.versions[report.name.title()] = f"{report.version} ({report.origin})"

    @contextlib.contextmanager
    def shop(self, *, distributed: bool, **given: object) -> Iterator[Running]:
        """A whole empty shop, as `counterfoil up` runs it, with other settings where they are given.

        At tiny size all who ask for a distributed one share it.
        """
        if not (self.size.tiny and distributed):
            with self._new_shop(distributed=distributed, **given) as running:
                yield running
            return
        if self._shop is None:
            self._shop = self._stack.enter_context(self._new_shop(distributed=True))
        yield self._shop

    @contextlib.contextmanager
    def _new_shop(self, *, distributed: bool, **given: object) -> Iterator[Running]:
        home = self.directory / f"shop-{next(_numbers)}"
        settings = self.settings.model_copy(
            update={
                "home": home,
                "database_url": None,
                "redis_url": None,
                "kafka_bootstrap": None,
                "log_level": "warning",
                **dict.fromkeys(_PORTS, 0),
                **given,
            }
        )
        with contextlib.ExitStack() as stack:
            # Its progress is for people who wait for it.
            with contextlib.redirect_stderr(io.StringIO()):
                shop = standalone.shop(settings, distributed=distributed, stop=standalone.Stop())
                running = stack.enter_context(shop)
            self.versions |= {_named(kind, version): version for kind, version in running.servers.items()}
            yield running
        shutil.rmtree(home, ignore_errors=True)

    def program(self, name: str) -> Path | None:
        """A client program that came with the Postgres in use, or one of this machine's."""
        bundled = self.postgres().program.with_name(name)
        if bundled.exists():
            return bundled
        installed = shutil.which(name)
        found = [Path(installed)] if installed else []
        found += sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)
        return found[0] if found else None

    @contextlib.contextmanager
    def http(
        self, command: Sequence[str], *, port: int, environment: Mapping[str, str]
    ) -> Iterator[tuple[str, Child]]:
        """A server process that answers HTTP at a port: its address and the process."""
        given = supervisor.role_environment(environment)
        process = child.launch(
            [sys.executable, "-P", "-m", *command],
            name=command[0],
            log=self.directory / f"{command[0]}-{port}.log",
            stop_signal=signal.SIGTERM,
            cwd=self.directory,
            environment=given,
        )
        try:
            process.wait_until(
                lambda: probing.answers_ok(f"http://127.0.0.1:{port}/readyz"), timeout_s=READY_S_MAX
            )
            yield f"http://127.0.0.1:{port}", process
        finally:
            process.stop(timeout_s=STOP_S_MAX)

    def launched(self, command: Sequence[str | Path], *, name: str) -> Child:
        """A server process; its caller stops it."""
        return child.launch(
            command,
            name=name,
            log=self.directory / f"{name}.log",
            stop_signal=signal.SIGTERM,
            cwd=self.directory,
        )

    @contextlib.contextmanager
    def python(self, module: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        """A module of the benchmarks in a process of its own, stopped at the end."""
        environment = {**os.environ, "PYTHONPATH": str(SOURCES)}
        with child.popen(
            [sys.executable, "-P", "-m", module, *arguments],
            stdout=subprocess.PIPE,
            cwd=self.directory,
            env=environment,
        ) as process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(STOP_S_MAX)
                process.kill()


def _named(kind: str, version: str) -> str:
    """Who a server of a shop is, and not what it is there for: its Redis may be a Valkey."""
    return "Valkey" if kind == "redis" and "valkey" in version.lower() else kind.title()


_PORTS: Final = (
    "command_api_port",
    "query_api_port",
    "relay_health_port",
    "projections_health_port",
    "processes_health_port",
)
