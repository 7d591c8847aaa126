"""The distributed product as real processes with servers of its own, and a proxy in front of every server.

Roles are started as a user would start them, two of each that may have two, with their settings in the
environment. `tree` is the folder of the product: a copy with a planted defect is run like the product itself.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import redis
from kafka import KafkaAdminClient

from devservers import child, kafka_jars
from devservers.kafka import KafkaServer
from devservers.postgres import start_postgres
from devservers.redis import start_redis
from tests import forking
from tests.chaos.network import Network

PROJECT = Path(__file__).resolve().parent.parent.parent
ROLES = {
    "command-api-1": "command-api",
    "command-api-2": "command-api",
    "query-api": "query-api",
    "relay-1": "relay",
    "relay-2": "relay",
    "projections-1": "projections",
    "projections-2": "projections",
    "processes-1": "processes",
    "processes-2": "processes",
}
READY_WITHIN_S = 240.0
STOPPED_WITHIN_S = 60.0
COMMAND_WITHIN_S = 400.0
SMALL_DISK_MB = 3_000
PORT_SETTINGS = {
    "command-api": "COUNTERFOIL_COMMAND_API_PORT",
    "query-api": "COUNTERFOIL_QUERY_API_PORT",
    "relay": "COUNTERFOIL_RELAY_HEALTH_PORT",
    "projections": "COUNTERFOIL_PROJECTIONS_HEALTH_PORT",
    "processes": "COUNTERFOIL_PROCESSES_HEALTH_PORT",
}


class ProxiedKafka(KafkaServer):
    """A Kafka that tells its clients the address of a proxy, so that none of them goes round it."""

    proxy_port = 0

    def _properties(self):
        options = {"advertised.listeners": f"PLAINTEXT://{child.LOCALHOST}:{self.proxy_port}"}
        return {**super()._properties(), **options}


class Process:
    """One role process; `spare` ones are started by a fault and gone after it."""

    def __init__(self, name, *, role, port, environment, directory, tree, wrapper=()):
        self.name = name
        self.role = role
        self.port = port
        self.log = directory / f"{name}.log"
        self._command = [*wrapper, sys.executable, "-m", "counterfoil", role]
        self._environment = {**environment, PORT_SETTINGS[role]: str(port)}
        self._tree = tree
        self._child = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self):
        return self._child.pid

    def start(self, *, wrapper=()):
        self._child = child.launch(
            [*wrapper, *self._command],
            name=self.name,
            log=self.log,
            stop_signal=signal.SIGTERM,
            cwd=self._tree,
            environment=self._environment,
        )

    def is_running(self):
        return self._child is not None and self._child.is_running()

    def is_ready(self):
        """Another program may have taken the port first and answer instead."""
        return self.is_running() and _answers_ok(f"{self.url}/readyz")

    def kill(self):
        self._child.kill()

    def stop(self):
        """SIGTERM; the exit code, or None when it had to be killed."""
        if self._child is None:
            return 0
        self._child.stop(timeout_s=STOPPED_WITHIN_S)
        code = self._child._process.returncode
        return None if code == -signal.SIGKILL else code

    def pause(self):
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self):
        if self.is_running():
            os.kill(self.pid, signal.SIGCONT)


class Laboratory:
    """Use as a context manager: everything is up and ready inside."""

    def __init__(self, directory, *, settings, seed, tree=PROJECT, roles=ROLES, small_disk=False):
        self.directory = directory
        self.tree = tree
        self.network = Network(seed=seed)
        self.processes = {}
        self.lost_upto = {}
        self.flushes_failed = 0
        self.small_disk = False
        self._wants_small_disk = small_disk
        self._settings = settings
        self._roles = roles
        self._stack = contextlib.ExitStack()

    def __enter__(self):
        with self._stack:
            self._stack.callback(self.network.close)
            self._start_servers()
            self._start_roles()
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_):
        self._stack.close()

    def admin(self):
        """A connection to the log's database as its owner, round the proxy."""
        return psycopg.connect(self.postgres.url, autocommit=True, connect_timeout=5)

    def cache(self):
        return redis.Redis.from_url(self.redis.url, socket_timeout=5)

    def broker(self):
        return contextlib.closing(KafkaAdminClient(bootstrap_servers=self.kafka.bootstrap))

    def run(self, *arguments, **settings):
        """One command of the product to its end."""
        return forking.run(
            [sys.executable, "-m", "counterfoil", *arguments],
            env={**self.environment, **settings},
            cwd=self.tree,
            check=True,
            timeout=COMMAND_WITHIN_S,
        )

    def of(self, role):
        """The processes of one role."""
        return [process for process in self.processes.values() if process.role == role]

    def spawn(self, name, role):
        """One more process of a role."""
        made = Process(
            name,
            role=role,
            port=child.free_port(),
            environment=self.environment,
            directory=self.directory,
            tree=self.tree,
        )
        made.start()
        self.processes[name] = made
        return made

    def retire(self, name):
        """End a process that was spawned in addition to the others."""
        return self.processes.pop(name).stop()

    def keep_alive(self):
        """Start every role and server that is not running again; names of what was started."""
        started = []
        for server in (self.postgres, self.redis, self.kafka):
            if not server.is_running():
                server.start()
                started.append(type(server).__name__)
        for process in self.processes.values():
            if not process.is_running():
                process.start()
                started.append(process.name)
        return started

    def wait_ready(self):
        for process in list(self.processes.values()):
            wait_until(process.is_ready, within_s=READY_WITHIN_S, what=f"{process.name} ready: {process.log}")

    def _start_servers(self):
        home = self.directory
        if self._wants_small_disk:
            self._mount_small_disk(home / "postgres")
        with ThreadPoolExecutor(3) as pool:
            postgres = pool.submit(
                start_postgres, home / "postgres", programs_folder=self._settings.postgres_bin
            )
            cache = pool.submit(start_redis, home / "redis", program=self._settings.redis_server)
            self.kafka = pool.submit(self._start_kafka, home / "kafka").result()
            self._stack.callback(
                self.kafka.kill
            )  # an orderly stop takes seconds, and nobody needs its topics
            self.postgres, self.redis = postgres.result(), cache.result()
        self._stack.callback(self.postgres.stop)
        self._stack.callback(self.redis.stop)
        self.network.link("postgres", target=self.postgres.port)
        self.network.link("redis", target=self.redis.port)

    def _mount_small_disk(self, directory):
        """Postgres on a disk of its own that can be filled; without the right to mount there is none."""
        directory.mkdir(parents=True, exist_ok=True)
        options = ["-t", "tmpfs", "-o", f"size={SMALL_DISK_MB}m,mode=0755", "tmpfs"]
        done = subprocess.run(["mount", *options, str(directory)], check=False, capture_output=True)
        if done.returncode == 0:
            self.small_disk = True
            self._stack.callback(subprocess.run, ["umount", "-l", str(directory)], check=False)

    def _start_kafka(self, directory):
        directory.mkdir(parents=True, exist_ok=True)
        jars = kafka_jars.jars_in(self._settings.cache, repository=self._settings.maven_repository)
        server = ProxiedKafka(directory, java=self._settings.java, jars=jars)
        server.proxy_port = self.network.link("kafka", target=server.port).port
        server.start()
        return server

    def _start_roles(self):
        links = self.network.links
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("COUNTERFOIL_", "PG"))
        }
        self.environment = {
            **kept,
            "PYTHONPATH": str(self.tree),
            "COUNTERFOIL_HOME": str(self.directory / "home"),
            "COUNTERFOIL_DATABASE_URL": _through(
                self.postgres.url, self.postgres.port, links["postgres"].port
            ),
            "COUNTERFOIL_REDIS_URL": _through(self.redis.url, self.redis.port, links["redis"].port),
            "COUNTERFOIL_KAFKA_BOOTSTRAP": f"127.0.0.1:{links['kafka'].port}",
            "COUNTERFOIL_KAFKA_CLIENT": self._settings.kafka_client,
            "COUNTERFOIL_TRANSPORT": "kafka",
        }
        self.run("migrate", COUNTERFOIL_DATABASE_URL=self.postgres.url)
        self._stack.callback(self._stop_roles)
        for name, role in self._roles.items():
            self.spawn(name, role)
        self.wait_ready()
        for process in self.of("command-api"):
            self.network.link(process.name, target=process.port)

    def _stop_roles(self):
        for process in self.processes.values():
            process.resume()
            process.kill()  # what they were to show has been seen


def export(directory):
    """A copy of the product's packages, to be run or damaged."""
    for package in ("commands", "counterfoil", "domain", "event_store", "projections", "read_api", "runtime"):
        shutil.copytree(PROJECT / package, directory / package, ignore=shutil.ignore_patterns("__pycache__"))
    return directory


def wait_until(holds, *, within_s, what, every_s=0.05):
    give_up = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > give_up:
            raise TimeoutError(f"not within {within_s} s: {what}")
        time.sleep(every_s)


def _through(url, port, proxy):
    return url.replace(f":{port}/", f":{proxy}/")


def _answers_ok(url):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=2) as answer:
            return answer.status == 200
    except urllib.error.HTTPError as refused:
        refused.close()
        return False
    except (urllib.error.URLError, OSError):
        return False
