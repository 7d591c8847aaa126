"""Process managers with their triggers carried by a real Kafka."""

from prometheus_client import CollectorRegistry

from commands.processes import checkpoints
from event_store.transport.kafka_transport import KafkaTransport
from runtime import database
from tests.commands.processes.running import (
    append,
    eventually,
    outcomes,
    placed,
    received,
    relaying,
    running,
    stock_of,
)

ORDERS = 300
NAMES = ("fulfilment", "restock")


def test_orders_carried_by_kafka_are_decided_once_and_the_position_reaches_the_head(database_url, kafka):
    append(database_url, [received("A", ORDERS - 50)])
    append(database_url, [placed(f"o{number}", [("A", 1)]) for number in range(ORDERS)])

    with (
        relaying(database_url, KafkaTransport(kafka, registry=CollectorRegistry())),
        running(database_url, KafkaTransport(kafka, registry=CollectorRegistry())),
        database.connect(database_url, role="counterfoil_reader", name="test") as conn,
    ):
        eventually(lambda: outcomes(database_url) == 1 + 2 * ORDERS)
        eventually(
            lambda: all(process.lag_events == 0 for process in checkpoints.positions(conn, names=NAMES))
        )

    item = stock_of(database_url, "A")
    assert item is not None
    assert item.reserved == ORDERS - 50
    assert item.available == 0
