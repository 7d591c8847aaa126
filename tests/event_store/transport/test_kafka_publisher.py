"""The Kafka publisher against a real broker: only what is acknowledged counts."""

import contextlib
import gc
import secrets
import socket
import threading
import time

import psutil
import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.admin import ConfigResource, ConfigResourceType
from prometheus_client import CollectorRegistry

from event_store.transport import (
    kafka_client,
    kafka_python_client,
    kafka_transport,
)
from event_store.transport.kafka_client import MESSAGE_BYTES_MAX
from event_store.transport.kafka_topics import RETENTION_MS
from event_store.transport.kafka_transport import KafkaTransport
from event_store.transport.transport import Generation, PublishFailed, Record, TransportUnavailable
from tests.event_store.transport import carrying
from tests.examples import NOW


@pytest.fixture
def generation(topic):
    """A generation of an installation of its own."""
    return Generation(
        installation=topic,
        generation=3,
        partitions=4,
        start_position=1,
        carrier="kafka",
    )


@pytest.fixture(params=["kafka-python", "confluent-kafka"])
def client(request):
    """The library that the transport speaks through."""
    return request.param


@pytest.fixture
def transport(kafka, client):
    return KafkaTransport(kafka, registry=CollectorRegistry(), client=client)


@pytest.fixture
def admin(kafka):
    with contextlib.closing(KafkaAdminClient(bootstrap_servers=kafka)) as admin:
        yield admin


def record(position, *, partition=0, payload=b"{}"):
    return Record(
        partition, position - 1, position, "k", "s-1", 1, "a.b.v1", payload, b"{}", NOW, bytes(32), 1
    )


def test_a_topic_is_made_with_the_partitions_of_the_generation_and_bounded_retention(
    transport, admin, topic, generation
):
    for _ in range(2):
        transport.publisher(generation).close()
    (described,) = admin.describe_topics([f"counterfoil.{topic}.events.g3"])
    resource = ConfigResource(ConfigResourceType.TOPIC, f"counterfoil.{topic}.events.g3")
    configs = admin.describe_configs([resource])["topic"][f"counterfoil.{topic}.events.g3"]

    assert 4 == len(described["partitions"])
    assert [f"counterfoil.{topic}.events.g3"] == [name for name in admin.list_topics() if topic in name]
    assert str(RETENTION_MS) == configs["retention.ms"]["value"]
    assert str(MESSAGE_BYTES_MAX) == configs["max.message.bytes"]["value"]


def test_a_topic_with_another_number_of_partitions_is_refused(transport, admin, topic, generation):
    admin.create_topics({f"counterfoil.{topic}.events.g3": {"num_partitions": 5}}, wait_for_metadata=True)

    with pytest.raises(TransportUnavailable, match="5 partitions, not 4"):
        transport.publisher(generation)


def test_the_newest_record_of_every_partition_that_holds_one_is_found(transport, generation):
    newest = [record(7), record(9, partition=2)]
    with contextlib.closing(transport.publisher(generation)) as publisher:
        empty = publisher.last_records()
        publisher.publish([record(3), record(5, partition=2), *newest])
    with contextlib.closing(transport.publisher(generation)) as publisher:
        found = publisher.last_records()

    assert {} == empty
    assert {each.partition: each for each in newest} == found


def test_records_that_the_broker_does_not_acknowledge_are_not_published(transport, admin, topic, generation):
    with contextlib.closing(transport.publisher(generation)) as publisher:
        publisher.publish([record(1)])
        admin.delete_topics([f"counterfoil.{topic}.events.g3"])

        def publish_until(deadline):
            while time.monotonic() < deadline:
                publisher.publish([record(2), record(2, partition=1)])

        # The controller answers for the deletion; the broker takes records until it has heard of it.
        with pytest.raises(PublishFailed):
            publish_until(time.monotonic() + 120)


def test_a_record_that_the_broker_refuses_makes_the_whole_batch_fail(transport, admin, topic, generation):
    narrow = {"num_partitions": 4, "configs": {"max.message.bytes": "2000"}}
    admin.create_topics({f"counterfoil.{topic}.events.g3": narrow}, wait_for_metadata=True)
    with contextlib.closing(transport.publisher(generation)) as publisher:
        with pytest.raises(PublishFailed, match="1 of 2 records"):
            publisher.publish([record(1), record(2, partition=1, payload=secrets.token_bytes(4_000))])

        assert {0} == publisher.last_records().keys()


def test_a_broker_that_is_not_there_is_said_so_soon(generation, client):
    transport = KafkaTransport("127.0.0.1:1", registry=CollectorRegistry(), client=client)

    with pytest.raises(TransportUnavailable):
        transport.publisher(generation)
    with pytest.raises(TransportUnavailable):
        transport.subscribe("readers", generation=generation)


def test_waiting_for_a_broker_that_is_silent_gathers_no_threads(monkeypatch):
    monkeypatch.setattr(kafka_client, "BOOTSTRAP_TIMEOUT_MS", 500)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        before = set(threading.enumerate())  # some of them may end meanwhile, which other tests left
        for make in (KafkaAdminClient, KafkaConsumer, KafkaProducer):
            with pytest.raises(TransportUnavailable):
                kafka_python_client.connect(make, bootstrap_servers=[address])

        assert set() == set(threading.enumerate()) - before


def threads_of_the_system():
    """The threads of this process, those of libraries among them."""
    return {each.id for each in psutil.Process().threads()}


def test_waiting_for_a_broker_that_is_silent_gathers_no_threads_of_librdkafka(monkeypatch):
    monkeypatch.setattr(kafka_client, "BOOTSTRAP_TIMEOUT_MS", 300)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = kafka_transport.client_of("confluent-kafka", f"127.0.0.1:{silent.getsockname()[1]}")
        before = threads_of_the_system()
        for attempt in (
            client.producer,
            lambda: client.newest("t", partitions=1),
            lambda: client.join("t", group="g", instance_id=None),
            lambda: client.ensure_topic("t", partitions=1, configs={}),
        ):
            with pytest.raises(TransportUnavailable):
                attempt()
        gc.collect()

        # The system may show one for a moment that has ended.
        carrying.wait_until(lambda: threads_of_the_system() <= before, what="an end of all new threads")
