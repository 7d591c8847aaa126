"""How many orders of five lines a second does one query API process answer by key, freshness headers included?

The limit is the constant answer of the same process (`/livez`): what the HTTP stack gives when nothing is read.
"""

from collections.abc import Iterator
from typing import Final

from benchmarks import shop_events, workers
from benchmarks.command import load
from benchmarks.http_load import CONNECTIONS, Found
from benchmarks.laboratory import Laboratory
from benchmarks.measuring import in_turns
from benchmarks.reaching import wait_for_documents, wait_for_orders
from benchmarks.table import Goal, Row
from devservers import child

NAME: Final = "read"
EVENTS: Final = 130_000
VIEW: Final = "order_details"
GOALS: Final = {"Redis": (Goal("ours", at_least=5_000),), "SQL": (Goal("ours", at_least=4_000),)}


def rows(laboratory: Laboratory) -> Iterator[Row]:
    """One row from Redis, one from SQL."""
    redis_url = laboratory.redis_url()
    with laboratory.database() as url:
        events = laboratory.size.count(EVENTS, tiny=2_000)
        orders = shop_events.orders_in(events)
        shop_events.fill(url, shop_events.history(events))
        workers.settle(url)
        with workers.projections(url, views=[VIEW], redis_url=redis_url):
            wait_for_orders(url, orders=orders)
            wait_for_documents(url, redis_url, VIEW)
            for source, cache in (("Redis", redis_url), ("SQL", "")):
                yield _measured(laboratory, url, cache, source=source, orders=orders)


def _measured(laboratory: Laboratory, url: str, redis_url: str, *, source: str, orders: int) -> Row:
    port = child.free_port()
    environment = {
        "COUNTERFOIL_DATABASE_URL": url,
        "COUNTERFOIL_REDIS_URL": redis_url,
        "COUNTERFOIL_QUERY_API_PORT": str(port),
        "COUNTERFOIL_HOME": str(laboratory.directory / "nowhere"),
    }
    loads: list[Found] = []

    def ours() -> float:
        loads.append(load(laboratory, "order", port=port, orders=orders))
        return loads[-1].rate

    with laboratory.http(["counterfoil", "query-api"], port=port, environment=environment):
        found = in_turns(
            {
                "ours": ours,
                "limit": lambda: load(laboratory, "order", port=port, path="/livez").rate,
            },
            rounds=laboratory.size.rounds,
        )
    last = loads[-1]
    return Row(
        name=NAME,
        case=f"one order of {shop_events.LINES} lines from {source}, {CONNECTIONS} connections",
        unit="reads/s",
        ours=found["ours"],
        limit=found["limit"],
        limit_name="/livez of the same process",
        goals=GOALS[source],
        note=f"p50 {last.p50_ms:.1f} ms, p99 {last.p99_ms:.1f} ms; the client took {last.cpu_share:.0%} of one core",
    )
