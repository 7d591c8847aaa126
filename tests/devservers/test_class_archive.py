"""Archives of classes: made once by a running server, used by the next start, never needed."""

import contextlib
import fcntl
import os
import subprocess
from pathlib import Path

import psutil
import pytest

from devservers import class_archive, kafka_jars
from devservers.kafka import KafkaServer
from devservers.programs import Program

PROGRAM_THAT_FAILS = Program(path=Path("/bin/false"), origin="this test", version="1")


@pytest.fixture
def java(settings, tmp_path):
    """The Java that Kafka would run on."""
    jars = kafka_jars.jars_in(settings.cache, repository=settings.maven_repository)
    return KafkaServer(tmp_path, java=settings.java, jars=jars).java


@contextlib.contextmanager
def small_server(java, archive, directory):
    """The file server of Java itself, which answers; with the archive if there is one."""
    command = [
        java.path,
        "-XX:+UseSerialGC",
        *class_archive.arguments(archive),
        "-m",
        "jdk.httpserver",
        "-p",
        "0",
    ]
    with subprocess.Popen(
        command, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        try:
            assert any(b"Serving" in line for line in process.stdout)
            yield process.pid
        finally:
            process.kill()


def maps(pid, file):
    return str(file) in {each.path for each in psutil.Process(pid).memory_maps()}


def test_a_start_maps_the_archive_that_an_earlier_one_made_and_a_damaged_one_prevents_no_start(
    java, tmp_path
):
    archive = tmp_path / "classes.jsa"
    with small_server(java, archive, tmp_path) as pid:
        class_archive.make(archive, java=java, pid=pid, directory=tmp_path)
    with small_server(java, archive, tmp_path) as pid:
        assert maps(pid, archive)
    with archive.open("r+b") as file:
        file.seek(archive.stat().st_size // 2)
        file.write(os.urandom(4096))
    with small_server(java, archive, tmp_path) as pid:
        assert not maps(pid, archive)

    assert [] == [*tmp_path.glob("java_pid*"), *tmp_path.glob(".classes-*")]


def test_an_archive_that_cannot_be_made_is_tried_once(tmp_path):
    archive = tmp_path / "classes.jsa"
    class_archive.make(archive, java=PROGRAM_THAT_FAILS, pid=1, directory=tmp_path)

    assert archive.read_bytes() == b""
    assert class_archive.arguments(archive) == []


def test_no_archive_is_made_while_another_process_makes_it_or_where_nothing_can_be_written(tmp_path):
    archive = tmp_path / "classes.jsa"
    with archive.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        class_archive.make(archive, java=PROGRAM_THAT_FAILS, pid=1, directory=tmp_path)
    class_archive.make(tmp_path / "missing" / "c.jsa", java=PROGRAM_THAT_FAILS, pid=1, directory=tmp_path)

    assert not archive.exists()


def test_other_jars_or_another_java_have_an_archive_of_their_own(tmp_path):
    jar = tmp_path / "a.jar"
    jar.write_bytes(b"a jar")
    java = Program(path=jar, origin="here", version="25")
    first = class_archive.place_of(java, jars=[jar], folder=tmp_path)
    newer = class_archive.place_of(
        Program(path=jar, origin="here", version="26"), jars=[jar], folder=tmp_path
    )
    jar.write_bytes(b"another jar")

    assert len({first, newer, class_archive.place_of(java, jars=[jar], folder=tmp_path)}) == 3
