"""What does it take from POST until the query API shows an order, and what does the shop use of the processor for it?

A whole shop, standalone and distributed through either client of Kafka, at rest and at several rates. Orders are placed
at a fixed rate, whether or not earlier ones are answered. Each is then read once, with the position of its answer:
`Min-Position`, and `Prefer: wait`, so that waiting is no load. The time is from sending the POST to the arrival of the
answer that shows the order. Processor time is that of all processes of the shop, Postgres and Redis included, Kafka's
virtual machine apart.
"""

import asyncio
import random
import secrets
import time
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec
import uvloop
from msgspec import Struct

from benchmarks import cores, http_client, http_load, shop_events
from benchmarks.cores import Spent
from benchmarks.http_client import Connection, Pool
from benchmarks.laboratory import Laboratory
from benchmarks.measuring import median_of, percentile
from benchmarks.table import Goal, Row
from counterfoil.runfile import Running
from runtime import database

NAME: Final = "visible"
RATES: Final = (10, 50, 200, 1_000)
TINY_RATE: Final = 50
WAIT_S: Final = 10
"""How long a read waits for its order. One that is not shown by then counts as if it had been."""
CODES: Final = 200
CONNECTIONS: Final = 128
SECONDS: Final = 20.0
IDLE_SECONDS: Final = 10.0
WARM_S: Final = 3.0
STOCK: Final = 10_000_000
PRODUCTS_PER_BATCH: Final = 100
CREATED: Final = 201
OK: Final = 200

DISTRIBUTED: Final = "distributed"
KINDS: Final[Mapping[str, str | None]] = {
    "standalone": None,
    DISTRIBUTED: "kafka-python",
    f"{DISTRIBUTED}, confluent-kafka": "confluent-kafka",
}
"""Kinds of shops, and their clients of Kafka."""
_WANTED: Final[Mapping[tuple[int, str], float]] = {
    (0, "cores"): 0.10,
    (50, "cores"): 0.7,
    (200, "cores"): 1.3,
    (200, "answered p99"): 25,
    (200, "visible p50"): 30,
    (200, "visible p99"): 100,
}
GOALS: Final[Mapping[str, Mapping[tuple[int, str], float]]] = {
    **dict.fromkeys(KINDS, _WANTED),
    DISTRIBUTED: {
        (0, "cores"): 0.10,
        (50, "cores"): 0.9,
        (200, "answered p99"): 25,
        (200, "visible p50"): 60,
    },
}
"""The most that a figure may be, by kind of shop, then by orders a second and figure."""
GROWTH_GOAL: Final = 1.5
"""A backlog that grows delays the last orders of a load by more than so many times the first."""

_STATEMENTS: Final = (
    "select xact_commit + xact_rollback from pg_stat_database where datname = current_database()"
)


class Placed(Struct):
    """What a load found: seconds in the order of the orders, and processor time at its begin and its end."""

    answered_s: list[float]
    visible_s: list[float]
    spent: list[Spent]

    def used(self) -> dict[str, float]:
        """Cores used by each process."""
        before, after = self.spent
        return after.since(before)

    def figures(self) -> dict[str, float]:
        """What is shown of it."""
        quarter = max(1, len(self.visible_s) // 4)
        return {
            "cores": cores.without_jvm(self.used()),
            "answered p50": percentile(sorted(self.answered_s), 0.5) * 1000,
            "answered p99": percentile(sorted(self.answered_s), 0.99) * 1000,
            "visible p50": percentile(sorted(self.visible_s), 0.5) * 1000,
            "visible p99": percentile(sorted(self.visible_s), 0.99) * 1000,
            "first": percentile(sorted(self.visible_s[:quarter]), 0.5) * 1000,
            "last": percentile(sorted(self.visible_s[-quarter:]), 0.5) * 1000,
        }


def rows(laboratory: Laboratory) -> Iterator[Row]:
    """What each kind of shop uses at rest, then for each rate what it uses and how long orders take."""
    tiny = laboratory.size.tiny
    for kind in (DISTRIBUTED,) if tiny else KINDS:
        client = KINDS[kind]
        given = {} if client is None else {"kafka_client": client}
        with laboratory.shop(distributed=client is not None, **given) as running:
            uvloop.run(_stock(http_client.port_of(running.addresses.command_api)))
            yield from _at_rest(kind, running, tiny=tiny)
            for rate in (TINY_RATE,) if tiny else RATES:
                yield from _at(kind, running, rate, tiny=tiny, rounds=laboratory.size.rounds)


def _at_rest(kind: str, running: Running, *, tiny: bool) -> Iterator[Row]:
    seconds = 1.0 if tiny else IDLE_SECONDS
    if not tiny:
        time.sleep(WARM_S)  # what was stocked is still on its way
    statements = _statements(running)
    before = cores.spent(running.processes)
    time.sleep(seconds)
    after = cores.spent(running.processes)
    per_s = (_statements(running) - statements) / seconds
    used = after.since(before)
    yield Row(
        name=NAME,
        case=f"{kind}, at rest",
        unit="cores",
        ours=cores.without_jvm(used),
        goals=_goals(kind, 0, "cores"),
        note=f"{per_s:.0f} statements/s; {cores.listed(used)}",
    )


def _at(kind: str, running: Running, rate: int, *, tiny: bool, rounds: int) -> Iterator[Row]:
    if not tiny:
        uvloop.run(_placed(running, rate=rate, seconds=WARM_S))
    runs = [uvloop.run(_placed(running, rate=rate, seconds=1.0 if tiny else SECONDS)) for _ in range(rounds)]
    found = median_of([run.figures() for run in runs])
    case = f"{kind}, {rate} orders/s"
    yield Row(
        name=NAME,
        case=case,
        unit="cores",
        ours=found["cores"],
        goals=_goals(kind, rate, "cores"),
        note=cores.listed(median_of([run.used() for run in runs])),
    )
    for figure in ("answered p50", "answered p99", "visible p50", "visible p99"):
        yield Row(
            name=NAME,
            case=f"{case}, {figure}",
            unit="ms",
            ours=found[figure],
            goals=_goals(kind, rate, figure),
        )
    if rate == max(RATES):
        yield Row(
            name=NAME,
            case=f"{case}, visible p50 of the last quarter",
            unit="ms",
            ours=found["last"],
            limit=found["first"],
            limit_name="of the first quarter",
            goals=(Goal("ratio_to_limit", at_most=GROWTH_GOAL),),
        )


def _goals(kind: str, rate: int, figure: str) -> tuple[Goal, ...]:
    most = GOALS[kind].get((rate, figure))
    return () if most is None else (Goal("ours", at_most=most),)


async def _placed(running: Running, *, rate: int, seconds: float) -> Placed:
    """Place orders at a rate, and read each once it is to be seen."""
    commands = Pool(http_client.port_of(running.addresses.command_api), size=CONNECTIONS)
    queries = Pool(http_client.port_of(running.addresses.query_api), size=CONNECTIONS)
    run, chance = secrets.token_hex(6), random.Random(shop_events.SEED)
    count = int(rate * seconds)
    names = [f"{run}-{number}" for number in range(count)]
    # Beforehand, as the client shares the processors with what is measured.
    orders = [
        http_client.post(
            "/v1/orders", http_load.order_body(name, chance, codes=CODES), f"Idempotency-Key: {name}"
        )
        for name in names
    ]
    found = Placed([0.0] * count, [0.0] * count, [cores.spent(running.processes)])

    async def place(number: int) -> None:
        started = time.perf_counter()
        answer = await commands.ask(orders[number])
        assert answer.status == CREATED, answer
        assert answer.position is not None, answer
        found.answered_s[number] = time.perf_counter() - started
        headers = (f"Min-Position: {answer.position.decode()}", f"Prefer: wait={WAIT_S}")
        await queries.ask(http_client.get(f"/v1/orders/{names[number]}", *headers))
        found.visible_s[number] = time.perf_counter() - started

    async def end() -> None:
        await asyncio.sleep(seconds)
        found.spent.append(cores.spent(running.processes))

    try:
        await asyncio.gather(http_client.open_loop(rate, seconds=seconds, do=place), end())
    finally:
        commands.close()
        queries.close()
    return found


def _statements(running: Running) -> int:
    """Transactions of the shop's database so far; nearly all statements of consumers that wait are one each."""
    assert running.addresses.database_url is not None
    with database.connect(running.addresses.database_url, role=None, name="benchmark") as connection:
        row = connection.execute(_STATEMENTS).fetchone()
    assert row is not None
    return int(row[0])


async def _stock(command_port: int) -> None:
    """Products and their stock, through the command API."""
    connection = await Connection.open("127.0.0.1", command_port)
    run = secrets.token_hex(4)
    for command in ("create_product", "receive_stock"):
        for start in range(0, CODES, PRODUCTS_PER_BATCH):
            numbers = range(start, start + PRODUCTS_PER_BATCH)
            commands = [_about_product(command, number, run) for number in numbers]
            body = msgspec.json.encode({"commands": commands})
            answer = await connection.ask(
                http_client.post("/v1/commands", body, f"Idempotency-Key: {command}-{start}-{run}")
            )
            assert answer.status == OK, answer
    connection.close()


def _about_product(command: str, number: int, run: str) -> dict[str, object]:
    sku = shop_events.code(number)
    fields: dict[str, object] = {"key": f"{command}-{sku}-{run}", "command": command}
    if command == "create_product":
        body = {"sku": sku, "title": sku, "stocked": True, "unit_price": "2.55", "currency": "GBP"}
        return fields | {"body": body}
    return fields | {"target": sku, "body": {"quantity": STOCK}}
