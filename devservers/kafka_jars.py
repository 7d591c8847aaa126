"""Kafka's jars: a pinned list with hashes, fetched once into a cache, checked each time they are taken into use."""

import hashlib
import importlib.util
import os
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

from devservers.errors import JarMismatch, ServerNotFound

_FETCHES_AT_ONCE: Final = 4
_FETCH_TIMEOUT_S: Final = 120.0
_FETCH_TRIES_MAX: Final = 3

_TRUST_STORES: Final = (
    ssl.get_default_verify_paths().cafile,
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
)

_WAYS_OUT: Final = (
    "install the extra `servers` (pip install 'counterfoil[servers]'), which fetches the jars from Maven's repository",
    "point COUNTERFOIL_MAVEN_REPOSITORY at a repository that this machine reaches",
    "copy the cache directory (COUNTERFOIL_CACHE) of a machine that has them",
    "point COUNTERFOIL_KAFKA_BOOTSTRAP at a running Kafka",
)

Progress = Callable[[int, int], None]
"""Called with (jars fetched, jars to fetch)."""


@dataclass(frozen=True, slots=True)
class Jar:
    """One pinned jar. `coordinate` is Maven's group:artifact:version."""

    coordinate: str
    sha256: str

    @property
    def file_name(self) -> str:
        """The name it has in the cache, as Maven names it."""
        _, artifact, version = self.coordinate.split(":")
        return f"{artifact}-{version}.jar"


def pinned() -> tuple[Jar, ...]:
    """What Kafka runs on, as `kafka-jars.txt` pins it."""
    text = (resources.files("devservers") / "kafka-jars.txt").read_text(encoding="utf-8")
    rows = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    return tuple(Jar(coordinate, sha256) for coordinate, sha256 in rows)


def kafka_version() -> str:
    """Version of the pinned Kafka, e.g. `4.3.1`."""
    return next(
        jar.coordinate.split(":")[2]
        for jar in pinned()
        if jar.coordinate.startswith("org.apache.kafka:kafka_")
    )


def jars_in(
    cache: Path,
    *,
    jars: Sequence[Jar] | None = None,
    repository: str | None = None,
    progress: Progress | None = None,
) -> list[Path]:
    """The jars, fetched if the cache lacks them, each with the pinned hash.

    Args:
        cache: directory that may be shared by processes; a jar appears in it whole or not at all.
        jars: what is wanted; what is pinned when None.
        repository: Maven repository; the client's own default when None.
        progress: called after each fetched jar.

    Raises:
        JarMismatch: a fetched jar is not the pinned one. (One that spoiled in the cache is fetched again.)
        ServerNotFound: a jar is missing and cannot be fetched.
    """
    folder = cache / f"kafka-{kafka_version()}"
    folder.mkdir(parents=True, exist_ok=True)
    wanted = pinned() if jars is None else jars
    missing = [jar for jar in wanted if _sha256(folder / jar.file_name) != jar.sha256]
    if missing:
        _fetch_all(missing, folder=folder, repository=repository, progress=progress)
    return [folder / jar.file_name for jar in wanted]


def _fetch_all(
    missing: list[Jar], *, folder: Path, repository: str | None, progress: Progress | None
) -> None:
    if importlib.util.find_spec("maven_artifact") is None:
        tried = [
            f"{folder} lacks {len(missing)} of the pinned jars",
            "the wheel maven-artifact is not installed",
        ]
        raise ServerNotFound("Kafka", tried=tried, ways_out=_WAYS_OUT)
    with ThreadPoolExecutor(_FETCHES_AT_ONCE) as fetches:
        try:
            done = fetches.map(lambda jar: fetch(jar, folder=folder, repository=repository), missing)
            for fetched, _ in enumerate(done, start=1):
                if progress is not None:
                    progress(fetched, len(missing))
        except BaseException:
            fetches.shutdown(cancel_futures=True)
            raise


def fetch(jar: Jar, *, folder: Path, repository: str | None) -> None:
    """Fetch one jar next to its place, compare its hash, move it there.

    The client runs as a process of its own: it prints, and knows no time limit.

    Raises:
        JarMismatch: it is not the pinned one.
        ServerNotFound: it cannot be fetched.
    """
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder) as directory:
        attempt = Path(directory, jar.file_name)
        from_where = ["--maven-repo", repository] if repository else []
        command = [sys.executable, "-m", "maven_artifact.main", *from_where, jar.coordinate, str(attempt)]
        for tries in range(1, _FETCH_TRIES_MAX + 1):
            answer = _run(command, environment=_environment(tries))
            if answer is None:
                break
            if tries == _FETCH_TRIES_MAX:
                raise ServerNotFound("Kafka", tried=[f"{jar.coordinate}: {answer}"], ways_out=_WAYS_OUT)
        found = _sha256(attempt)
        if found != jar.sha256:
            raise JarMismatch(jar.coordinate, path=attempt, expected=jar.sha256, found=found or "of no file")
        attempt.replace(folder / jar.file_name)


def _environment(tries: int) -> dict[str, str]:
    """From the second try on the client trusts whom this machine trusts, not only whom its own list names.

    Companies inspect outgoing traffic with certificates that only the machine knows. The hashes are pinned here, so
    nothing depends on who is trusted.
    """
    known = [path for path in _TRUST_STORES if path and Path(path).exists()]
    if tries == 1 or not known or "REQUESTS_CA_BUNDLE" in os.environ:
        return dict(os.environ)
    return {**os.environ, "REQUESTS_CA_BUNDLE": known[0]}


def _run(command: list[str], *, environment: dict[str, str]) -> str | None:
    """None if a command succeeded, else the end of what it said."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_FETCH_TIMEOUT_S,
            check=False,
            env=environment,
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {_FETCH_TIMEOUT_S:g} s"
    if done.returncode == 0:
        return None
    said = (done.stdout + done.stderr).decode(errors="replace").strip()
    return said.splitlines()[-1] if said else f"ended with code {done.returncode}"


def _sha256(file: Path) -> str | None:
    """Hash of a file in hex; None when it is not there."""
    try:
        with file.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except FileNotFoundError:
        return None
