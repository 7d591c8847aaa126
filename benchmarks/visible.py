"""How long does it take from POST until the query API shows it, through a real Kafka, at 200 and 1,000 orders a second?

A whole shop in distributed mode. Orders are placed at a fixed rate, whether or not earlier ones are answered; of some
of them the query API is asked again and again until it shows the order. The time is from sending the POST to the
arrival of the answer that shows it.
"""

import asyncio
import random
import secrets
import time
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
import uvloop

from benchmarks import http_client, http_load, shop_events
from benchmarks.http_client import Connection
from benchmarks.laboratory import Laboratory
from benchmarks.measuring import in_turns, percentile
from benchmarks.table import Goal, Row

NAME: Final = "visible"
RATES: Final = (200, 1_000)
WATCHED_PER_S: Final = 20
"""Orders a second whose appearance is waited for: enough for a percentile, few enough not to be the load."""
POLL_S: Final = 0.002
APPEARS_S_MAX: Final = 20.0
CODES: Final = 200
CONNECTIONS: Final = 128
SECONDS: Final = 20.0
WARM_S: Final = 3.0
STOCK: Final = 10_000_000
PRODUCTS_PER_BATCH: Final = 100
CREATED: Final = 201
OK: Final = 200
GOALS: Final = {
    ("p50", 200): (Goal("ours", at_most=15),),
    ("p99", 200): (Goal("ours", at_most=60),),
}


def rows(laboratory: Laboratory) -> Iterator[Row]:
    """Half and 99 of 100 for each rate."""
    with laboratory.distributed_shop() as running:
        command_port, query_port = (
            int(str(address).rpartition(":")[2])
            for address in (running.addresses.command_api, running.addresses.query_api)
        )
        uvloop.run(_stock(command_port))
        size = laboratory.size
        for rate in RATES[:1] if size.tiny else RATES:
            found = _measured(command_port, query_port, rate=rate, tiny=size.tiny, rounds=size.rounds)
            for share, took_ms in found.items():
                yield Row(
                    name=NAME,
                    case=f"POST to visible, {rate} orders/s, {share}",
                    unit="ms",
                    ours=took_ms,
                    goals=GOALS.get((share, rate), ()),
                )


def _measured(command_port: int, query_port: int, *, rate: int, tiny: bool, rounds: int) -> dict[str, float]:
    seconds = 1.0 if tiny else SECONDS
    if not tiny:
        uvloop.run(_placed(command_port, query_port, rate=rate, seconds=WARM_S))
    last: list[Sequence[float]] = []

    def half() -> float:
        last.append(uvloop.run(_placed(command_port, query_port, rate=rate, seconds=seconds)))
        return percentile(last[-1], 0.5) * 1000

    return in_turns({"p50": half, "p99": lambda: percentile(last[-1], 0.99) * 1000}, rounds=rounds)


async def _placed(command_port: int, query_port: int, *, rate: int, seconds: float) -> Sequence[float]:
    """Place orders at a rate; the seconds until the watched ones were shown, in order."""
    idle: asyncio.Queue[Connection] = asyncio.Queue()
    for _ in range(CONNECTIONS):
        idle.put_nowait(await Connection.open("127.0.0.1", command_port))
    asking: asyncio.Queue[Connection] = asyncio.Queue()
    for _ in range(CONNECTIONS):
        asking.put_nowait(await Connection.open("127.0.0.1", query_port))
    run, chance, took = secrets.token_hex(6), random.Random(shop_events.SEED), list[float]()
    every = max(1, rate // WATCHED_PER_S)

    async def place(number: int) -> None:
        name = f"{run}-{number}"
        body = http_load.order_body(name, chance, codes=CODES)
        started = time.perf_counter()
        connection = await idle.get()
        answer = await connection.ask(http_client.post("/v1/orders", body, key=name))
        idle.put_nowait(connection)
        assert answer.status == CREATED, answer
        if number % every == 0:
            connection = await asking.get()
            await _until_shown(connection, name, give_up=started + APPEARS_S_MAX)
            asking.put_nowait(connection)
            took.append(time.perf_counter() - started)

    try:
        await http_client.open_loop(rate, seconds=seconds, do=place)
    finally:
        for queue in (idle, asking):
            while not queue.empty():
                queue.get_nowait().close()
    return sorted(took)


async def _until_shown(connection: Connection, name: str, *, give_up: float) -> None:
    """Ask until the order is shown. One that is not counts as if it had been at the end of the patience."""
    request = http_client.get(f"/v1/orders/{name}")
    while (await connection.ask(request)).status != OK:
        if time.perf_counter() > give_up:
            return
        await asyncio.sleep(POLL_S)


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
                http_client.post("/v1/commands", body, key=f"{command}-{start}-{run}")
            )
            assert answer.status == OK, answer
    connection.close()


def _about_product(command: str, number: int, run: str) -> dict[str, object]:
    sku = shop_events.code(number)
    told: dict[str, object] = {"key": f"{command}-{sku}-{run}", "command": command}
    if command == "create_product":
        body = {"sku": sku, "title": sku, "stocked": True, "unit_price": "2.55", "currency": "GBP"}
        return told | {"body": body}
    return told | {"target": sku, "body": {"quantity": STOCK}}
