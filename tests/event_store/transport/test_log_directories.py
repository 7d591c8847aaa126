"""Bytes of topics, and how full the brokers' disks are, for those who ask before it is too late."""

import pytest
from prometheus_client import CollectorRegistry

from counterfoil import disks, sizing
from event_store.transport import generations
from event_store.transport.kafka_client import LogDirectory
from event_store.transport.kafka_transport import KafkaTransport, client_of
from event_store.transport.transport import TransportUnavailable
from runtime import database


@pytest.fixture
def client(kafka):
    """The library that can ask."""
    return client_of("kafka-python", kafka)


@pytest.fixture
def topic(kafka, database_url):
    """The topic of an installation, without records."""
    with database.connect(database_url, role="counterfoil_relay", name="test") as connection:
        generation = generations.current_generation(connection)
    KafkaTransport(kafka, registry=CollectorRegistry()).publisher(generation).close()
    return f"counterfoil.{generation.installation}.events.g{generation.generation}"


def test_the_topics_of_this_installation_are_shown(database_url, client, topic):
    sizes = sizing.read(database_url, kafka=client)

    assert [topic] == [each.name for each in sizes.topics]
    assert any(line.startswith(f"topic    {topic}") for line in sizing.lines(sizes))


def test_a_library_that_cannot_ask_is_named(database_url, kafka, topic):
    sizes = sizing.read(database_url, kafka=client_of("confluent-kafka", kafka))

    assert ([], sizing.UNKNOWN_TO_CLIENT) == (sizes.topics, sizes.topics_unknown)
    assert f"topics   {sizing.UNKNOWN_TO_CLIENT}" in sizing.lines(sizes)


def test_without_a_broker_the_sizes_of_postgres_are_shown(database_url):
    sizes = sizing.read(database_url, kafka=client_of("kafka-python", "127.0.0.1:9"))

    assert sizes.database > 0
    assert "no server listens" in (sizes.topics_unknown or "")


def test_the_disks_of_brokers_are_shown(client):
    (disk,) = disks.kafka(client) or ()

    assert 0 < disk.free <= disk.total


class Cluster:
    """Two brokers, each with a replica."""

    def __init__(self, *found):
        self.found = list(found)

    def log_directories(self):
        return self.found


def test_replicas_are_added_up_and_other_topics_left_out():
    topics = {"counterfoil.a.events.g1": 7, "counterfoil.ab.events.g1": 1, "other": 5}
    cluster = Cluster(*(LogDirectory(broker, "/data", topics, 10, 4) for broker in (1, 2)))

    assert {"counterfoil.a.events.g1": 14} == disks.topic_bytes(cluster, prefix="counterfoil.a.")
    assert [0.6, 0.6] == [disk.used for disk in disks.kafka(cluster) or ()]


def test_brokers_that_show_nothing_are_no_empty_cluster(client, monkeypatch):
    monkeypatch.setattr("kafka.KafkaAdminClient.describe_log_dirs", lambda _: [{"broker": 1, "log_dirs": []}])

    with pytest.raises(TransportUnavailable, match="the login needs the right to describe"):
        client.log_directories()
