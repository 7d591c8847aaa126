"""How many events a second does the relay carry from the log to a real Kafka, acknowledged?

Through each client. The limit is the client's producer alone: the same records, ready in memory, sent by the same code.
"""

import secrets
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final, get_args

from prometheus_client import CollectorRegistry

from benchmarks import shop_events, workers
from benchmarks.laboratory import Laboratory
from benchmarks.measuring import alternating
from benchmarks.table import Goal, Row
from event_store.log import reading
from event_store.transport import generations, relay
from event_store.transport.kafka_client import ClientName
from event_store.transport.kafka_transport import KafkaTransport
from runtime import database

NAME: Final = "relay"
CLIENTS: Final[tuple[ClientName, ...]] = get_args(ClientName)
EVENTS: Final = 200_000
POLL_S: Final = 0.005
WAIT_S_MAX: Final = 300.0
GOALS: Final = (Goal("ours", at_least=25_000),)

_POSITION: Final = "select position from transport.relay"


def rows(laboratory: Laboratory) -> Iterator[Row]:
    """One row a client."""
    bootstrap = laboratory.kafka()
    with laboratory.database() as url:
        events = shop_events.fill(url, shop_events.history(laboratory.size.count(EVENTS, tiny=6_000)))
        workers.settle(url, carrier="kafka")
        contestants: dict[str, Callable[[], float]] = {}
        for client in CLIENTS:
            contestants[f"{client} ours"] = partial(_carried, url, bootstrap, client=client, events=events)
            contestants[f"{client} limit"] = partial(_produced, url, bootstrap, client=client)
        found = alternating(contestants, rounds=laboratory.size.rounds)
    for client in CLIENTS:
        yield Row(
            name=NAME,
            case=f"shop events, 12 partitions, {client}",
            unit="events/s",
            ours=found[f"{client} ours"],
            limit=found[f"{client} limit"],
            limit_name=f"{client}'s producer, same records from memory",
            goals=GOALS,
        )


def _carried(url: str, bootstrap: str, *, client: ClientName, events: int) -> float:
    """From the first batch that was acknowledged to the last event."""
    with database.connect(url, role=None, name="benchmark") as connection:
        connection.execute("update transport.relay set position = 0, owner = null")
        connection.execute("update transport.relay_partition set position = 0")
        connection.execute("delete from runtime.lease")
        _become_installation(connection)
        with workers.relay(url, bootstrap=bootstrap, client=client):
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


def _produced(url: str, bootstrap: str, *, client: ClientName) -> float:
    transport = KafkaTransport(bootstrap, registry=CollectorRegistry(), client=client)
    with database.connect(url, role="counterfoil_relay", name="benchmark") as connection:
        with database.connect(url, role=None, name="benchmark installation") as owner:
            _become_installation(owner)
        ledger = relay.PostgresRelayRows(connection, owner=secrets.token_hex(8))
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
