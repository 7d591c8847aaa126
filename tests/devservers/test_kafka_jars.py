"""Kafka's jars: fetched once, from pinned coordinates, and used only with their hashes."""

import hashlib
import http.server
import threading

import pytest

from devservers import kafka_jars
from devservers.errors import JarMismatch, ServerNotFound
from devservers.kafka_jars import Jar

NOBODY_LISTENS = "http://127.0.0.1:9/"


@pytest.fixture
def repository(tmp_path):
    """A Maven repository on this machine with one jar of the bytes `a jar`; its address."""
    place = tmp_path / "repository" / "org" / "example" / "thing" / "1.0"
    place.mkdir(parents=True)
    (place / "thing-1.0.jar").write_bytes(b"a jar")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(tmp_path / "repository"))

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_pinned_jar_is_fetched_once_and_then_taken_from_the_cache(tmp_path, repository):
    jar = Jar("org.example:thing:1.0", hashlib.sha256(b"a jar").hexdigest())
    fetched = []
    first = kafka_jars.jars_in(
        tmp_path, jars=[jar], repository=repository, progress=lambda *at: fetched.append(at)
    )
    again = kafka_jars.jars_in(tmp_path, jars=[jar], repository=NOBODY_LISTENS)

    assert [(1, 1)] == fetched
    assert first == again
    assert first[0].read_bytes() == b"a jar"


def test_a_jar_that_spoiled_in_the_cache_is_fetched_again(tmp_path, repository):
    jar = Jar("org.example:thing:1.0", hashlib.sha256(b"a jar").hexdigest())
    (path,) = kafka_jars.jars_in(tmp_path, jars=[jar], repository=repository)
    path.write_bytes(b"something else")
    (again,) = kafka_jars.jars_in(tmp_path, jars=[jar], repository=repository)

    assert again.read_bytes() == b"a jar"


def test_a_jar_with_another_hash_is_never_used(tmp_path, repository):
    jar = Jar("org.example:thing:1.0", hashlib.sha256(b"the pinned jar").hexdigest())

    with pytest.raises(JarMismatch, match=r"thing:1\.0"):
        kafka_jars.jars_in(tmp_path, jars=[jar], repository=repository)

    assert list(tmp_path.rglob("kafka-*/*")) == []


def test_a_jar_that_cannot_be_fetched_is_an_error_with_the_ways_out(tmp_path):
    jar = Jar("org.example:thing:1.0", "00")

    with pytest.raises(ServerNotFound, match=r"(?s)thing:1\.0.*COUNTERFOIL_KAFKA_BOOTSTRAP"):
        kafka_jars.jars_in(tmp_path, jars=[jar], repository=NOBODY_LISTENS)


def test_every_pinned_jar_has_a_coordinate_and_a_whole_hash():
    jars = kafka_jars.pinned()

    assert len(jars) == len({jar.file_name for jar in jars})
    assert [] == [jar for jar in jars if len(jar.sha256) != 64 or jar.coordinate.count(":") != 2]
    assert any(jar.coordinate.startswith("com.github.luben:zstd-jni:") for jar in jars)
