"""Servers of our own: each test starts real ones, with the product's settings, in a directory of its own."""

import contextlib
import http.server
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

import psutil
import psycopg
import pytest
import redis
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError
from redis.backoff import NoBackoff
from redis.retry import Retry

from counterfoil.servers import unmanaged
from counterfoil.servers.errors import ServerUnreachable
from counterfoil.servers.unmanaged import ExternalServer
from devservers import child, class_archive, kafka_jars, postgres, unprivileged
from devservers.errors import ServerNotFound, ServerStartFailed
from devservers.kafka import KafkaServer, start_kafka
from devservers.postgres import start_postgres
from devservers.programs import Candidate, Program
from devservers.redis import start_redis

GONE_WITHIN_S = 120.0
ARCHIVED_WITHIN_S = 240.0


def closed(directory):
    """A directory below one that only its owner may enter, as a home directory is."""
    below = directory / "home" / "below"
    below.mkdir(parents=True)
    below.parent.chmod(0o700)
    return below


@pytest.fixture
def closed_directory(tmp_path):
    return closed(tmp_path)


@pytest.fixture(scope="module")
def one_postgres(tmp_path_factory):
    """A Postgres below a directory that only we may enter, for tests that change nothing of it."""
    with start_postgres(closed(tmp_path_factory.mktemp("postgres"))) as server:
        yield server


@pytest.fixture(scope="module")
def one_redis(tmp_path_factory):
    """A Redis for tests that change nothing of it."""
    with start_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def open_directory():
    """A directory that everybody may enter: what Postgres 15 needs where we are root."""
    with tempfile.TemporaryDirectory(prefix="counterfoil-test-") as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


def execute(url, statement):
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


# Postgres


def every_postgres_here():
    """The programs that Counterfoil would run, from wheels and from this machine, one of each version."""
    found: dict[str, Program] = {}
    for candidate in postgres.candidates():
        with contextlib.suppress(OSError, ValueError, subprocess.SubprocessError):
            program = unprivileged.runnable(candidate, user=unprivileged.user_for_postgres())
            if program.major >= postgres.MAJOR_MIN:
                found.setdefault(program.version, program)
    return found.values()


@pytest.mark.parametrize("program", every_postgres_here(), ids=lambda program: program.version)
def test_every_postgres_found_here_keeps_acknowledged_rows_through_a_crash_and_an_orderly_stop(
    program, open_directory
):
    directory = open_directory / program.version
    with start_postgres(directory, programs_folder=program.path.parent) as server:
        url = server.url
        execute(url, "create table kept (row int)")
        execute(url, "insert into kept values (1)")
        server.kill()
        server.start()
        execute(url, "insert into kept values (2)")
        server.stop()
        server.start()

        assert [(1,), (2,)] == execute(url, "select row from kept order by row")
        assert [("on",)] == execute(url, "show data_checksums")
        assert url == server.url


def test_postgres_works_below_a_directory_that_only_we_may_enter(one_postgres):
    assert one_postgres.directory.parent.stat().st_mode & 0o077 == 0
    assert [(1,)] == execute(one_postgres.url, "select 1")


def test_postgres_never_runs_as_root(one_postgres):
    expected = unprivileged.NOBODY if os.geteuid() == 0 else os.geteuid()

    assert expected == psutil.Process(one_postgres.pid).uids().effective


def test_postgres_answers_nobody_without_the_password_and_hides_it_from_the_process_list(one_postgres):
    kept = one_postgres.directory / "password"
    password = kept.read_text().strip()

    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(one_postgres.url.replace(password, "guessed"))

    assert password not in " ".join(psutil.Process(one_postgres.pid).cmdline())
    assert kept.stat().st_mode & 0o077 == 0


def test_postgres_flushes_what_it_acknowledges(one_postgres):
    names = ("fsync", "synchronous_commit", "full_page_writes")

    assert dict.fromkeys(names, "on") == {
        name: execute(one_postgres.url, f"show {name}")[0][0] for name in names
    }


def test_a_postgres_that_does_not_start_says_why_with_the_end_of_its_log(tmp_path):
    with pytest.raises(ServerStartFailed, match=r'(?s)ended with exit code 1.*invalid value .*"many"'):
        start_postgres(tmp_path, settings={"max_connections": "many"})


def test_a_broken_off_initialisation_is_never_taken_for_a_database(tmp_path):
    (tmp_path / "data.new").mkdir()
    (tmp_path / "data.new" / "PG_VERSION").write_text("18\n")

    with start_postgres(tmp_path) as server:
        assert [(1,)] == execute(server.url, "select 1")


def test_a_folder_without_postgres_is_refused_with_the_ways_out(tmp_path):
    with pytest.raises(ServerNotFound, match=r"(?s)tried: .*servers.*COUNTERFOIL_DATABASE_URL"):
        start_postgres(tmp_path, programs_folder=tmp_path)


def test_data_of_another_major_version_is_not_touched(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "PG_VERSION").write_text("9\n")
    (tmp_path / "password").write_text("secret\n")

    with pytest.raises(ServerNotFound, match="was made with 9"):
        start_postgres(tmp_path)


def test_data_without_its_password_is_an_error_at_once(tmp_path):
    start_postgres(tmp_path).stop()
    (tmp_path / "password").unlink()

    with pytest.raises(ServerStartFailed, match="password is missing"):
        start_postgres(tmp_path)


# Redis


def test_redis_keeps_its_data_through_a_crash_and_an_orderly_stop(closed_directory):
    with start_redis(closed_directory) as server:
        url = server.url
        with redis.Redis.from_url(url, decode_responses=True) as client:
            client.set("kept", "yes")
        server.kill()
        server.start()
        server.stop()
        server.start()

        with redis.Redis.from_url(url, decode_responses=True) as client:
            assert client.get("kept") == "yes"
        assert url == server.url


def test_redis_answers_nobody_without_the_password_and_hides_it_from_the_process_list(one_redis):
    password = (one_redis.directory / "password").read_text().strip()

    with (
        pytest.raises(redis.AuthenticationError),
        redis.Redis(port=one_redis.port, retry=Retry(NoBackoff(), 0)) as client,
    ):
        client.ping()

    assert password not in " ".join(psutil.Process(one_redis.pid).cmdline())
    assert (one_redis.directory / "redis.conf").stat().st_mode & 0o077 == 0


def test_redis_never_evicts_and_writes_every_change_to_its_append_file(one_redis):
    with redis.Redis.from_url(one_redis.url, decode_responses=True) as client:
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("appendonly") == {"appendonly": "yes"}


def test_a_redis_that_does_not_start_says_why_with_the_end_of_its_log(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "appendonlydir").write_text("in the way")

    with pytest.raises(ServerStartFailed, match=r"(?si)ended with exit code 1.*append"):
        start_redis(tmp_path)


# Kafka


def make_topic(bootstrap, topic):
    client = KafkaAdminClient(bootstrap_servers=bootstrap)
    client.create_topics({topic: {"num_partitions": 1, "replication_factor": 1}})
    client.close()


def produce(bootstrap, topic, value):
    producer = KafkaProducer(bootstrap_servers=bootstrap, acks="all")
    producer.send(topic, value).get(timeout=60)
    producer.close()


def consume(bootstrap, topic, count):
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    consumer.assign([TopicPartition(topic, 0)])
    consumer.seek_to_beginning()
    values: list[bytes] = []
    give_up = time.monotonic() + 120
    while len(values) < count and time.monotonic() < give_up:
        values += [record.value for records in consumer.poll(500).values() for record in records]
    consumer.close()
    return values


@pytest.fixture
def own_kafka(settings, tmp_path):
    with start_kafka(
        tmp_path / "kafka", cache=settings.cache, java=settings.java, repository=settings.maven_repository
    ) as server:
        yield server


@pytest.mark.slow
def test_kafka_gives_back_its_records_on_the_same_address_after_a_crash_and_an_orderly_stop(own_kafka):
    bootstrap = own_kafka.bootstrap
    make_topic(bootstrap, "kept")
    produce(bootstrap, "kept", b"first")
    own_kafka.kill()
    own_kafka.start()
    produce(bootstrap, "kept", b"second")
    own_kafka.stop()
    own_kafka.start()

    assert [b"first", b"second"] == consume(bootstrap, "kept", 2)
    assert bootstrap == own_kafka.bootstrap


def test_a_kafka_that_answers_leaves_an_archive_of_its_classes_to_the_next_start(
    kafka_server, settings, tmp_path
):
    if isinstance(kafka_server, ExternalServer):
        return
    jars = kafka_jars.jars_in(settings.cache, repository=settings.maven_repository)
    following = KafkaServer(tmp_path, java=settings.java, jars=jars)
    give_up = time.monotonic() + ARCHIVED_WITHIN_S  # another run on this cache may be making it
    while not (arguments := class_archive.arguments(following.classes)) and time.monotonic() < give_up:
        time.sleep(0.1)

    assert arguments
    assert set(arguments) < set(following._java_command())


def test_kafka_makes_no_topic_by_a_typing_mistake(kafka, topic):
    producer = KafkaProducer(bootstrap_servers=kafka, max_block_ms=1_000)
    with pytest.raises(KafkaError):
        producer.send(topic, b"lost").get(timeout=5)
    producer.close()


# Addresses from outside


def test_a_given_postgres_is_reported_with_its_version_and_without_its_password(one_postgres):
    given = unmanaged.postgres_at(one_postgres.url)

    assert given.version == one_postgres.report().version
    assert f"postgres:***@127.0.0.1:{one_postgres.port}/postgres" in str(given.report())


def test_a_given_redis_is_reported_with_its_version_and_left_running(one_redis):
    given = unmanaged.redis_at(one_redis.url)
    given.stop()

    assert given.version == one_redis.report().version
    assert one_redis.is_running()


def test_a_given_kafka_is_reported_with_what_it_speaks(kafka):
    assert int(unmanaged.kafka_at(kafka).version.split(".")[0]) >= 4


@pytest.mark.parametrize(
    ("probe", "address"),
    [
        (unmanaged.postgres_at, "postgresql://shop:s3cret@127.0.0.1:9/shop"),
        (unmanaged.redis_at, "redis://:s3cret@127.0.0.1:9/0"),
        (unmanaged.kafka_at, "127.0.0.1:9"),
    ],
)
def test_an_address_where_nobody_answers_names_its_variable_and_hides_the_password(probe, address):
    with pytest.raises(ServerUnreachable, match="from COUNTERFOIL_") as refused:
        probe(address, timeout_s=1)

    assert "s3cret" not in str(refused.value)


# The end of the process that started them

STARTER = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # tests in the background ignore it, and pass that on
from pathlib import Path
from devservers.postgres import start_postgres
from devservers.programs import Candidate, Program
from devservers.redis import start_redis
directory = Path(sys.argv[1])
print(start_postgres(directory / "postgres").pid, start_redis(directory / "redis").pid, flush=True)
if sys.argv[2] == "stay":
    time.sleep(600)
"""


@contextlib.contextmanager
def python(script, *arguments):
    """Run a script in a process of its own that is gone in the end."""
    command = [sys.executable, "-c", script, *(str(argument) for argument in arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


def pids_from(process):
    return [int(pid) for pid in process.stdout.readline().split()]


def still_there(pids):
    """The processes that do not end in time."""
    give_up = time.monotonic() + GONE_WITHIN_S
    while (left := [pid for pid in pids if psutil.pid_exists(pid)]) and time.monotonic() < give_up:
        time.sleep(0.05)
    return left


@pytest.fixture(scope="module")
def left_behind(tmp_path_factory):
    """A directory of servers that are started in it again and again: to make their data takes longest."""
    return tmp_path_factory.mktemp("left")


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, None], ids=str)
def test_no_server_outlives_the_process_that_started_it(left_behind, ending):
    with python(STARTER, left_behind, "leave" if ending is None else "stay") as process:
        pids = pids_from(process)
        if ending is not None:
            process.send_signal(ending)
        process.wait(GONE_WITHIN_S)

        assert len(pids) == 2
        assert [] == still_there(pids)


BEREFT = """
import sys, time
from pathlib import Path
import psutil
from devservers.redis import start_redis
first = start_redis(Path(sys.argv[1], "first")).pid
(shell,) = [one for one in psutil.Process().children() if one.pid != first]
shell.kill()
shell.wait()
print(first, start_redis(Path(sys.argv[1], "second")).pid, flush=True)
time.sleep(600)
"""


def test_servers_are_still_cared_for_when_somebody_killed_the_supervising_shell(tmp_path):
    with python(BEREFT, tmp_path) as process:
        pids = pids_from(process)
        process.kill()
        process.wait(GONE_WITHIN_S)

        assert len(pids) == 2
        assert [] == still_there(pids)


def test_a_stopped_server_is_nobodys_business_any_more(tmp_path):
    with start_redis(tmp_path) as server:
        server.stop()
        server.stop()
        server.kill()

        assert not server.is_running()


# Ports and logs


def test_a_directory_keeps_its_port_while_it_is_free(tmp_path):
    port = child.remembered_port(tmp_path, name="port")

    assert port == child.remembered_port(tmp_path, name="port")


def test_a_port_that_somebody_else_took_is_replaced(tmp_path):
    port = child.remembered_port(tmp_path, name="port")
    with http.server.ThreadingHTTPServer(("127.0.0.1", port), http.server.BaseHTTPRequestHandler):
        assert port != child.remembered_port(tmp_path, name="port")


def test_no_outgoing_connection_is_ever_given_the_port_of_a_server():
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])

    assert child.free_port() < lowest


def test_no_other_process_is_given_a_port_before_its_server_listens():
    port = child.free_port()
    asking = (
        f"from devservers import child; child._PORTS, child._PORT_TRIES_MAX = [{port}], 1; child.free_port()"
    )
    asked = subprocess.run([sys.executable, "-c", asking], capture_output=True, text=True, check=False)

    assert child.is_free(port)
    assert "no free port" in asked.stderr


def test_an_overlong_log_is_put_aside(tmp_path):
    log = tmp_path / "log"
    with log.open("wb") as file:
        file.truncate(17 * 1024 * 1024)
    one = child.launch(["/bin/echo", "fresh"], name="echo", log=log, stop_signal=signal.SIGCONT, cwd=tmp_path)
    one.stop(timeout_s=60)

    assert log.read_text() == "fresh\n"
    assert log.with_name("log.1").stat().st_size == 17 * 1024 * 1024


def test_programs_of_a_wheel_in_a_closed_directory_are_copied_to_where_their_user_can_run_them(
    closed_directory,
):
    wheel = next(one for one in postgres.candidates() if one.origin.startswith("wheel "))
    install = wheel.path.parent.parent
    shutil.copytree(install, closed_directory / "package" / install.name, symlinks=True)
    shutil.copytree(f"{install.parent}.libs", closed_directory / "package.libs", symlinks=True)
    hidden = Candidate(
        closed_directory / "package" / install.name / "bin" / "postgres", f"wheel {uuid.uuid4().hex} 1"
    )
    user = unprivileged.user_for_postgres()
    program = unprivileged.runnable(hidden, user=user)
    again = unprivileged.runnable(hidden, user=user)
    if program.path != hidden.path:
        shutil.rmtree(program.path.parents[3])

    assert program == again
    assert program.origin.endswith(", copied") == (user is not None)


def test_a_copy_of_programs_that_others_may_change_is_not_trusted(tmp_path):
    tmp_path.chmod(0o777)

    with pytest.raises(PermissionError, match="not ours"):
        unprivileged._must_be_ours(tmp_path)
