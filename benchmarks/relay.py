"""How many events a second does the relay carry from the log to a real Kafka, acknowledged?

The limit is kafka-python's producer alone: the same records, ready in memory, sent by the same code of ours.
"""

import secrets
import time
from collections.abc import Iterator
from typing import Final

from prometheus_client import CollectorRegistry

from benchmarks import shop_events, workers
from benchmarks.laboratory import Laboratory
from benchmarks.measuring import in_turns
from benchmarks.table import Goal, Row
from event_store.log import reading
from event_store.transport import generations, relay
from event_store.transport.kafka_transport import KafkaTransport
from runtime import database

NAME: Final = "relay"
EVENTS: Final = 200_000
POLL_S: Final = 0.005
WAIT_S_MAX: Final = 300.0
GOALS: Final = (Goal("ours", at_least=25_000),)

_POSITION: Final = "select position from transport.relay"


def rows(laboratory: Laboratory) -> Iterator[Row]:
    """One row."""
    bootstrap = laboratory.kafka()
    with laboratory.database() as url:
        events = shop_events.fill(url, shop_events.history(laboratory.size.count(EVENTS, tiny=6_000)))
        workers.settle(url, carrier="kafka")
        found = in_turns(
            {
                "ours": lambda: _carried(url, bootstrap, events=events),
                "limit": lambda: _produced(url, bootstrap),
            },
            rounds=laboratory.size.rounds,
        )
    yield Row(
        name=NAME,
        case="shop events, 12 partitions",
        unit="events/s",
        ours=found["ours"],
        limit=found["limit"],
        limit_name="kafka-python's producer, same records from memory",
        goals=GOALS,
    )


def _carried(url: str, bootstrap: str, *, events: int) -> float:
    """From the first batch that was acknowledged to the last event."""
    with database.connect(url, role=None, name="benchmark") as connection:
        connection.execute("update transport.relay set position = 0, owner = null")
        connection.execute("update transport.relay_partition set position = 0")
        connection.execute("delete from runtime.lease")
        _become_installation(connection)
        with workers.relay(url, bootstrap=bootstrap):
            began, first = time.perf_counter(), 0
            while True:
                row = connection.execute(_POSITION).fetchone()
                assert row is not None
                position = int(row[0])
                if not first and position:
                    began, first = time.perf_counter(), position
                if position == events:
                    break
                assert time.perf_counter() - began < WAIT_S_MAX, f"the relay stands at {position} of {events}"
                time.sleep(POLL_S)
            return (events - first) / (time.perf_counter() - began) if events > first else events / POLL_S


def _produced(url: str, bootstrap: str) -> float:
    transport = KafkaTransport(bootstrap, registry=CollectorRegistry())
    with database.connect(url, role="counterfoil_relay", name="benchmark") as connection:
        with database.connect(url, role=None, name="benchmark installation") as owner:
            _become_installation(owner)
        ledger = relay.PostgresLedger(connection, owner=secrets.token_hex(8))
        generation = generations.current_generation(connection)
        state = relay.RelayState(generation, 0, dict.fromkeys(ledger.load().partitions, 0))
        frame = ledger.frame(generation)
        batches = []
        while rows := ledger.rows_after(state.position, limit=relay.ROWS_PER_ROUND):
            carried = relay.carry(state, rows=rows, frame=frame)
            batches.append(carried.records)
            state = carried.state
    publisher = transport.publisher(generation)
    try:
        publisher.publish(batches[0])
        began = time.perf_counter()
        for records in batches[1:] or batches:
            publisher.publish(records)
        passed = time.perf_counter() - began
    finally:
        publisher.close()
    return sum(map(len, batches[1:] or batches)) / passed


def _become_installation(connection: reading.Connection) -> None:
    """Topics are an installation's own: those of the round before hold other records."""
    connection.execute("update log.installation set id = gen_random_uuid()")
