"""A whole shop in one process group: servers of its own, a process per role, kept alive until it is stopped."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any, Final, Literal

import structlog
from pydantic import SecretStr

from counterfoil import declared, migrating, open_shops, progress, runfile
from counterfoil.probing import answers_ok
from counterfoil.runfile import Addresses, Running
from counterfoil.servers.server_version import ServerVersion
from counterfoil.servers.unmanaged import ExternalServer
from counterfoil.user_messages import UserError
from devservers import child, chosen, supervisor
from devservers.envoy_server import EnvoyServer
from devservers.supervisor import Role, ServerKeeper
from runtime import production, signals, telemetry
from runtime.keyring import master
from runtime.settings import PREFIX, Settings, SettingsError

READY_WITHIN_S: Final = 90.0
READY_POLL_S: Final = 0.05
ROLES: Final = ("command-api", "query-api", "relay", "projections", "processes")
KEYS_DATABASE: Final = "counterfoil_keys"
"""The database of data keys on a Postgres of our own."""

GATEWAY: Final = "gateway"
"""What runs before the APIs where it is asked for."""
SEALER: Final = "sealer"
"""The role that runs where a key that seals is set."""
_HEALTH_PORTS: Final = {
    "relay": "relay_health_port",
    "projections": "projections_health_port",
    "processes": "processes_health_port",
    SEALER: "sealer_health_port",
}

_APIS: Final = ("command-api", "query-api")
"""Roles of which there may be several processes."""

_PORTS: Final = {"command-api": "command_api_port", "query-api": "query_api_port", **_HEALTH_PORTS}
"""The setting that names each role's port."""

Mode = Literal["standalone", "distributed"]

log = structlog.get_logger()


class UpFailed(UserError):
    """The shop did not come up; the text says which part and where its log is."""


class RefusedByRole(SettingsError):
    """A role ended since it does not run with these settings; the text is its own."""


class Stopped(BaseException):
    """SIGTERM or SIGINT while the shop was still starting."""


def up(settings: Settings, *, distributed: bool, apis: int = 1, gateway: bool = False) -> None:
    """Run a shop in `settings.home` until SIGTERM or Ctrl-C, then drain all of it.

    There are `apis` processes of each API, and a gateway before them if asked for.

    Raises:
        SettingsError: the profile refuses these settings, or a role does.
        runfile.AlreadyRunning: another `up` has this directory.
        UpFailed, ServerError, MigrationError: it did not come up; what was started is stopped again.
    """
    telemetry.configure_logging(settings.log_level, process="up")
    with (
        stop_on_signals() as stop,
        contextlib.suppress(Stopped),
        shop(settings, distributed=distributed, stop=stop, apis=apis, gateway=gateway),
    ):
        progress.say("running until Ctrl-C or SIGTERM")
        stop.wait()
        progress.say("stopping")


@contextlib.contextmanager
def stop_on_signals() -> Iterator["Stop"]:
    """An event that SIGTERM, SIGINT and SIGHUP set; while a shop starts, the first also raises Stopped."""
    stop = Stop()
    with signals.setting(stop, (*signals.STOPPING, signal.SIGHUP), handler=stop.on_signal):
        yield stop


class Stop(threading.Event):
    """Says that the shop should stop."""

    def __init__(self) -> None:
        super().__init__()
        self.interrupts = (
            True  # while starting: servers take seconds, nobody waits for them once it is to stop
        )
        self._asked = False

    def on_signal(self, _number: int, _frame: FrameType | None) -> None:
        """The handler: the first signal counts, later ones while stopping change nothing."""
        asked, self._asked = self._asked, True
        if self.interrupts and not asked:
            raise Stopped


@contextlib.contextmanager
def shop(
    settings: Settings, *, distributed: bool, stop: Stop, apis: int = 1, gateway: bool = False
) -> Iterator[Running]:
    """Everything up and ready inside; everything stopped afterwards.

    Raises:
        as `up`.
    """
    production.require(settings)  # before anything is made
    with runfile.locked(settings.home), contextlib.ExitStack() as stack:
        stop.interrupts = True
        mode: Mode = "distributed" if distributed or settings.transport == "kafka" else "standalone"
        _given_ports(settings)  # before servers are started, which takes seconds and may be in vain
        declared.contexts(settings)  # likewise
        running = _Shop(settings, mode=mode, apis=apis, gateway=gateway, stop=stop)
        runfile.remove(settings.home)  # of one that was killed
        stack.callback(runfile.remove, settings.home)
        stack.callback(running.stop_servers)
        running.start_servers()
        running.migrate()
        stack.callback(running.stop_roles)
        running.start_roles()
        stop.interrupts = False
        running.require_no_refusal()
        if stop.is_set():
            raise Stopped
        yield running.state()
        running.require_no_refusal()


class _Shop:
    """What runs, and how it is stopped."""

    def __init__(self, settings: Settings, *, mode: Mode, apis: int, gateway: bool, stop: Stop) -> None:
        self._settings = settings
        self._stop = stop
        self._mode = mode
        self._apis = apis
        self._gateway = gateway
        self._started_at = datetime.now(UTC).isoformat(timespec="seconds")
        self._servers: dict[str, Any] = {}
        self._keepers: list[ServerKeeper] = []
        self._roles: list[Role] = []
        self._ports: dict[str, int] = {}
        self._ready = False
        self._stop_supervising = threading.Event()
        self._threads: list[threading.Thread] = []
        self._writing = threading.Lock()

    @property
    def database_url(self) -> str:
        """Address of the log's database."""
        return str(self._servers["postgres"].url)

    @property
    def keys_database_url(self) -> str | None:
        """Address of the key database: the one that is set, or another one on a Postgres of our own."""
        given, server = self._settings.keys_database_url, self._servers["postgres"]
        if given is not None:
            return given.get_secret_value()
        return None if isinstance(server, ExternalServer) else str(server.url_of(KEYS_DATABASE))

    def migrate(self) -> None:
        """Bring both databases to this version; that of the keys is made where it is one of our own.

        Says so where the shop that is found there has accounts, and is to be open to everybody now.
        """
        keys_url = self.keys_database_url
        if keys_url is not None and self._settings.keys_database_url is None:
            made = self._servers["postgres"].make_database(KEYS_DATABASE)
            if made and self._settings.master_key is None:
                master.create(self._settings.master_key_path)  # before several processes look for it at once
        applied = migrating.migrate(self.database_url)
        if keys_url is not None:
            applied += migrating.migrate(keys_url, of=migrating.components_of_keys)
        for name in applied:
            progress.say(f"migrated {name}")
        if (warning := open_shops.warning(self._settings, self.database_url)) is not None:
            progress.say(f"warning: {warning}")

    def start_servers(self) -> None:
        """Take servers from the environment, or start them below home; all at once, since Kafka takes seconds."""
        settings, home = self._settings, self._settings.home
        wanted: dict[str, Callable[[], Any]] = {
            "postgres": lambda: chosen.postgres_for(settings, directory=home / "postgres"),
            "redis": lambda: chosen.redis_for(settings, directory=home / "redis"),
        }
        if self._mode == "distributed":
            wanted["kafka"] = lambda: chosen.kafka_for(settings, directory=home / "kafka", progress=_show_jar)
        with ThreadPoolExecutor(len(wanted)) as pool:
            starting = {name: pool.submit(start) for name, start in wanted.items()}
        for name, future in starting.items():
            if future.exception() is None:
                self._servers[name] = future.result()
        for name, future in starting.items():
            if (error := future.exception()) is None:
                continue
            if name != "redis" or self._mode == "distributed":
                raise error
            progress.say(f"without Redis: every read is answered from Postgres ({error})")
        for name, server in self._servers.items():
            progress.say(str(server.report()))
            if not isinstance(server, ExternalServer):
                self._keepers.append(ServerKeeper(name, server, on_restart=self.write_state))

    def start_roles(self) -> None:
        """Start the processes of each role and wait until each says it is ready."""
        self._ports = _ports(self._settings)
        for role in _APIS:
            for name in self._names_of(role)[1:]:
                self._ports[name] = _free_port_besides(self._ports)
        if self._gateway:
            self._ports[GATEWAY] = _gateway_port(self._settings, self._ports)
        contexts_in = None if self._settings.contexts is None else Path.cwd()
        environment = supervisor.role_environment(self._role_settings(), contexts_in=contexts_in)
        logs = self._settings.home / "logs"
        logs.mkdir(exist_ok=True)
        for role in roles_of(self._settings):
            for name in self._names_of(role):
                port = {f"{PREFIX}{_PORTS[role].upper()}": str(self._ports[name])}
                process = Role(
                    name, command=role, environment={**environment, **port}, log_file=logs / f"{name}.log"
                )
                self._roles.append(process)
                process.start()
        self._keep("keep-roles", self._keep_roles)
        self._keep("rotate-logs", self._rotate_logs)
        self.write_state()  # a log that was restored is fenced before relay and workers are ready
        self._wait_until_ready()
        if self._gateway:
            self._start_gateway()
        self._ready = True
        self.write_state()
        addresses = self.state().addresses
        progress.say(f"command API {addresses.command_api}, query API {addresses.query_api}, logs in {logs}")

    def _names_of(self, role: str) -> tuple[str, ...]:
        """The processes of a role; the first one has its name."""
        return (role, *(f"{role}-{n}" for n in range(2, self._apis + 1))) if role in _APIS else (role,)

    def _start_gateway(self) -> None:
        """Start an Envoy before the processes of both APIs."""
        from counterfoil.api_gateway import envoy, layout

        places = {
            role: [f"{_host_of(self._settings, role)}:{self._ports[name]}" for name in self._names_of(role)]
            for role in _APIS
        }
        found = layout.layout(
            self._settings,
            layout.Places(
                listen=f"{child.LOCALHOST}:{self._ports[GATEWAY]}",
                command_api=places["command-api"],
                query_api=places["query-api"],
            ),
        )
        directory = self._settings.home / GATEWAY
        server = EnvoyServer(
            directory, configuration=envoy.bootstrap(found), url=self._url_of_api("command-api")
        )
        self._servers[GATEWAY] = server
        server.start()
        progress.say(str(server.report()))
        self._keepers.append(ServerKeeper(GATEWAY, server, on_restart=self.write_state))

    def _url_of_api(self, role: str) -> str:
        """Where callers reach an API: at the gateway, where there is one."""
        if self._gateway:
            return f"http://{child.LOCALHOST}:{self._ports[GATEWAY]}"
        return f"http://{_host_of(self._settings, role)}:{self._ports[role]}"

    def stop_roles(self) -> None:
        """Drain every role process; kill what does not end in time."""
        self._stop_supervising.set()
        for thread in self._threads:
            thread.join()
        for name in supervisor.stop_roles(self._roles):
            log.error("role_killed", role=name, within_s=supervisor.STOP_ROLES_WITHIN_S)

    def stop_servers(self) -> None:
        """Stop the servers that were started here, all at once."""
        kept = {keeper.name for keeper in self._keepers}
        stops = [keeper.stop for keeper in self._keepers]
        stops += [server.stop for name, server in self._servers.items() if name not in kept]
        if stops:
            with ThreadPoolExecutor(len(stops)) as pool:
                list(pool.map(lambda stop: stop(), stops))

    def state(self) -> Running:
        """What the state file says."""
        servers = {
            name: server for name, server in self._servers.items() if not isinstance(server, ExternalServer)
        }
        processes = {name: int(server.pid) for name, server in servers.items()}
        processes |= {role.name: role.pid for role in self._roles if role.pid is not None}
        reports: dict[str, ServerVersion] = {name: server.report() for name, server in self._servers.items()}
        return Running(
            pid=os.getpid(),
            mode=self._mode,
            started_at=self._started_at,
            addresses=Addresses(
                database_url=self.database_url,
                keys_database_url=self.keys_database_url,
                redis_url=self._url_of("redis"),
                kafka_bootstrap=self._url_of("kafka"),
                command_api=self._url_of_api("command-api"),
                query_api=self._url_of_api("query-api"),
            ),
            processes=processes,
            servers={name: f"{report.version} ({report.origin})" for name, report in reports.items()},
            ready=self._ready,
            contexts=self._settings.contexts,
            contexts_in=str(Path.cwd()),
        )

    def write_state(self) -> None:
        """Tell other commands; called again whenever a process id changed."""
        with self._writing:
            if self._ports and not self._stop_supervising.is_set():
                runfile.write(self._settings.home, self.state())

    def _keep(self, name: str, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _keep_roles(self) -> None:
        supervisor.keep_alive(
            self._roles,
            stop=self._stop_supervising,
            on_change=self.write_state,
            on_refusal=self._stop.set,
        )

    def require_no_refusal(self) -> None:
        """Raise RefusedByRole where a role does not run with its settings."""
        if (reason := supervisor.refused(self._roles)) is not None:
            raise RefusedByRole(reason)

    def _rotate_logs(self) -> None:
        logs = [role.log_file for role in self._roles] + [keeper.server.log for keeper in self._keepers]
        supervisor.keep_logs_short(logs, stop=self._stop_supervising)

    def _wait_until_ready(self) -> None:
        """Wait for all but the sealer: a shop sells also while its log contradicts what was sealed."""
        give_up = time.monotonic() + READY_WITHIN_S
        for role in self._roles:
            if role.command == SEALER:
                continue
            url = f"http://{_host_of(self._settings, role.command)}:{self._ports[role.name]}/readyz"
            while not answers_ok(url):
                self.require_no_refusal()
                if time.monotonic() > give_up:
                    raise UpFailed(
                        f"{role.name} was not ready after {READY_WITHIN_S:.0f} s; see {role.log_file}"
                    )
                time.sleep(READY_POLL_S)

    def _url_of(self, name: str) -> str | None:
        server = self._servers.get(name)
        return None if server is None else str(server.url)

    def _role_settings(self) -> dict[str, str]:
        """What was set, also by who started this, not only in the environment; then what was started or chosen here."""
        given = {name: getattr(self._settings, name) for name in self._settings.model_fields_set}
        found = {
            "home": self._settings.home,
            "contexts": self._settings.contexts,
            "tls_certificate": None,  # `up` speaks to its own processes, on this machine
            "tls_key": None,
            "tls_clients": None,
            "database_url": self.database_url,
            "keys_database_url": self.keys_database_url,
            "redis_url": self._url_of("redis"),
            "kafka_bootstrap": self._url_of("kafka"),
            "transport": "kafka" if self._mode == "distributed" else "local",
            **{setting: self._ports[role] for role, setting in _PORTS.items()},
            **self._behind_a_gateway(),
        }
        return {f"{PREFIX}{name.upper()}": _written(value) for name, value in (given | found).items()}

    def _behind_a_gateway(self) -> dict[str, object]:
        """What processes of an API know of each other, and of the gateway."""
        found: dict[str, object] = {"api_processes": max(self._apis, self._settings.api_processes)}
        if self._gateway:
            found["trusted_proxies"] = self._settings.trusted_proxies or f"{child.LOCALHOST}/32"
            found["query_api_url"] = self._settings.query_api_url or self._url_of_api("query-api")
        return found


def _written(value: object) -> str:
    """A setting as the environment has it; one that is not set is empty."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return "" if value is None else str(value)


def roles_of(settings: Settings) -> tuple[str, ...]:
    """The roles of a shop with these settings."""
    return ROLES if settings.seal_key is None else (*ROLES, SEALER)


def _given_ports(settings: Settings) -> dict[str, int]:
    """The ports that were set, by role.

    Raises:
        UpFailed: one is in use, or two roles were given the same.
    """
    given: dict[str, int] = {}
    for role, setting in _PORTS.items():
        port = int(getattr(settings, setting))
        if port == 0 or setting not in settings.model_fields_set:
            continue
        variable = f"COUNTERFOIL_{setting.upper()}"
        for other, taken in given.items():
            if taken == port:
                raise UpFailed(f"port {port} of {role} ({variable}) is that of {other} too")
        if not child.is_free(port, host=_host_of(settings, role)):
            raise UpFailed(f"port {port} of {role} ({variable}) is in use")
        given[role] = port
    return given


def _ports(settings: Settings) -> dict[str, int]:
    """A port per role: the one that was set, or the default if it is free, else any free one, which is said."""
    ports = _given_ports(settings)
    for role, setting in _PORTS.items():
        if role in ports:
            continue
        port = int(getattr(settings, setting))
        free = port != 0 and port not in ports.values() and child.is_free(port, host=_host_of(settings, role))
        ports[role] = port if free else _free_port_besides(ports)
        if port not in {0, ports[role]}:
            _say_moved(_listens(role), port, to=ports[role])
    return ports


def _gateway_port(settings: Settings, taken: dict[str, int]) -> int:
    """The gateway's port: the one that was set, or the default if it is free, else any free one, which is said.

    Raises:
        UpFailed: one was set and is in use.
    """
    port = settings.gateway_port
    if port != 0 and port not in taken.values() and child.is_free(port):
        return port
    if port != 0 and "gateway_port" in settings.model_fields_set:
        raise UpFailed(f"port {port} of the gateway ({PREFIX}GATEWAY_PORT) is in use")
    other = _free_port_besides(taken)
    if port != 0:
        _say_moved("the gateway is", port, to=other)
    return other


def _listens(role: str) -> str:
    """Which part of a role is at its port."""
    names = {"command-api": "the command API is", "query-api": "the query API is"}
    return names.get(role, f"probes of {role} are")


def _say_moved(what: str, port: int, *, to: int) -> None:
    """A client that goes by the default would ask somebody else there."""
    progress.say(f"{port} is in use, so {what} at {to}")


def _host_of(settings: Settings, role: str) -> str:
    hosts = {"command-api": settings.command_api_host, "query-api": settings.query_api_host}
    return hosts.get(role, settings.health_host)


def _free_port_besides(taken: dict[str, int]) -> int:
    return next(port for port in iter(child.free_port, None) if port not in taken.values())


def _show_jar(done: int, total: int) -> None:
    progress.say(f"fetched {done} of {total} jars of Kafka")
