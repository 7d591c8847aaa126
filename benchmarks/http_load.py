"""The load on an HTTP server, from a process of its own; prints what it found as JSON."""

import argparse
import itertools
import random
import secrets
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec
import uvloop

from benchmarks import http_client, shop_events
from benchmarks.http_client import Load
from benchmarks.measuring import percentile

CONNECTIONS: Final = 64
CREATED: Final = 201
OK: Final = 200


class Found(msgspec.Struct, frozen=True):
    """What is printed: answers a second, milliseconds, how many were unexpected, and the client's own share."""

    rate: float
    p50_ms: float
    p99_ms: float
    unexpected: int
    cpu_share: float


def main() -> None:
    """Run one load."""
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("what", choices=["orders", "order", "logins"])
    given.add_argument(
        "--port", type=int, action="append", required=True, help="again for each server that shares"
    )
    given.add_argument("--connections", type=int, default=CONNECTIONS)
    given.add_argument("--warm", type=float, default=0.0, help="seconds of load before what is measured")
    given.add_argument("--seconds", type=float, required=True)
    given.add_argument(
        "--codes", type=int, default=shop_events.CODES, help="products that orders are drawn from"
    )
    given.add_argument("--orders", type=int, default=1, help="orders that there are to be read")
    given.add_argument("--path", default="", help="read this path instead of an order")
    given.add_argument("--tokens", type=Path, help="a file of access tokens, one a line")
    given.add_argument("--callers", type=int, default=1, help="how many of the tokens take turns")
    given.add_argument("--email", default="", help="who logs in")
    given.add_argument("--password", default="")
    arguments = given.parse_args()
    tokens = arguments.tokens.read_text().split()[: arguments.callers] if arguments.tokens else []
    requests: Callable[[], bytes]
    if arguments.what == "orders":
        requests = placing(arguments.codes, tokens).__next__
    elif arguments.what == "logins":
        body = msgspec.json.encode({"email": arguments.email, "password": arguments.password})
        requests = itertools.repeat(http_client.post("/v1/sessions", body)).__next__
    elif arguments.path:
        requests = itertools.repeat(http_client.get(arguments.path)).__next__
    else:
        requests = reading(arguments.orders, tokens).__next__
    load = uvloop.run(
        _warm_and_measure(
            arguments.port,
            connections=arguments.connections,
            seconds=(arguments.warm, arguments.seconds),
            request=requests,
            expected=OK if arguments.what == "order" else CREATED,
        )
    )
    print(msgspec.json.encode(found(load)).decode())


async def _warm_and_measure(
    ports: Sequence[int],
    *,
    connections: int,
    seconds: tuple[float, float],
    request: Callable[[], bytes],
    expected: int,
) -> Load:
    """The second of two loads: the first warms the server up."""
    load = Load(0.0, (), 0, 0.0)
    for each in seconds:
        if each:
            load = await http_client.closed_loop(
                "127.0.0.1", ports, connections=connections, seconds=each, request=request, expected=expected
            )
    return load


def found(load: Load) -> Found:
    """The figures of a load."""
    return Found(
        rate=load.rate,
        p50_ms=percentile(load.seconds, 0.5) * 1000,
        p99_ms=percentile(load.seconds, 0.99) * 1000,
        unexpected=load.unexpected,
        cpu_share=load.cpu_share,
    )


def order_body(order_id: str, chance: random.Random, *, codes: int) -> bytes:
    """An order of five lines."""
    lines = ",".join(
        f'{{"sku":"{shop_events.code(number)}","quantity":3,"unit_price":"2.55"}}'
        for number in chance.sample(range(codes), shop_events.LINES)
    )
    return (
        f'{{"order_id":"{order_id}","customer_id":"17850","country":"United Kingdom","currency":"GBP",'
        f'"lines":[{lines}]}}'
    ).encode()


def placing(codes: int, tokens: Sequence[str] = ()) -> Iterator[bytes]:
    """Requests that place orders, each a new one with a key of its own; where there are tokens, they take turns."""
    known = itertools.cycle([_bearer(token) for token in tokens] or [()])
    run, chance = secrets.token_hex(6), random.Random(shop_events.SEED)
    for number in itertools.count():
        name = f"{run}-{number}"
        body = order_body(name, chance, codes=codes)
        yield http_client.post("/v1/orders", body, f"Idempotency-Key: {name}", *next(known))


def reading(orders: int, tokens: Sequence[str] = ()) -> Iterator[bytes]:
    """Requests that read orders of the history, in no order; where there are tokens, with the first."""
    chance = random.Random(shop_events.SEED)
    known = _bearer(tokens[0]) if tokens else ()
    ready = [http_client.get(f"/v1/orders/order%20{number}", *known) for number in range(orders)]
    while True:
        yield ready[chance.randrange(orders)]


def _bearer(token: str) -> tuple[str, ...]:
    return (f"Authorization: Bearer {token}",)


if __name__ == "__main__":
    main()
