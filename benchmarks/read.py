"""How many orders of five lines a second does one query API process answer by key, freshness headers included?

The limit is the constant answer of the same process (`/livez`). From Redis and from SQL in turns: with Postgres at
leisure, with Postgres busy with appends for 80 % of the time, and with a Postgres that is a millisecond away. Redis has
to earn its place: where it does not answer half as many reads again as SQL, its documents are not worth keeping.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import psycopg

from benchmarks import shop_events, workers
from benchmarks.command import load
from benchmarks.http_load import CONNECTIONS, Found
from benchmarks.laboratory import Laboratory
from benchmarks.measuring import alternating
from benchmarks.reaching import eventually, wait_for_documents, wait_for_orders
from benchmarks.table import Goal, Row
from devservers import child

NAME: Final = "read"
EVENTS: Final = 130_000
VIEW: Final = "order_details"
BUSY_SHARE: Final = 0.8
GOALS: Final = {"Redis": (Goal("ours", at_least=5_000),), "SQL": (Goal("ours", at_least=4_000),)}
NO_CLIENT_CACHE: Final = {"COUNTERFOIL_REDIS_CLIENT_CACHE_MB": "0"}
EARNS_ITS_PLACE: Final = (Goal("ratio_to_peer", at_least=1.5),)


def rows(laboratory: Laboratory) -> Iterator[Row]:
    """One row from Redis, one from SQL, and both in one run where Postgres is busy or far away."""
    redis_url = laboratory.redis_url()
    with laboratory.database() as url:
        events = laboratory.size.count(EVENTS, tiny=2_000)
        orders = shop_events.orders_in(events)
        shop_events.fill(url, shop_events.history(events))
        workers.settle(url)
        with workers.projections(url, views=[VIEW], redis_url=redis_url):
            wait_for_orders(url, orders=orders)
            wait_for_documents(url, redis_url, VIEW)
            with _query_api(laboratory, url, redis_url, {}) as cached:
                yield _measured(laboratory, cached, source="Redis", orders=orders)
                with _query_api(laboratory, url, "", {}) as by_sql:
                    yield _measured(laboratory, by_sql, source="SQL", orders=orders)
                    with laboratory.python("benchmarks.busy", "--url", url, "--share", str(BUSY_SHARE)):
                        where = f"Postgres {BUSY_SHARE:.0%} busy with appends"
                        yield _next_to_sql(laboratory, cached, by_sql=by_sql, where=where, orders=orders)
            with (
                _far_away(laboratory, url) as far,
                _far_away(laboratory, redis_url) as far_redis,
                _query_api(laboratory, far, "", {}) as by_sql,
            ):
                cases: Sequence[tuple[str, str, tuple[Goal, ...], Mapping[str, str]]] = (
                    ("Postgres 1 ms away", redis_url, EARNS_ITS_PLACE, {}),
                    ("Postgres and Redis 1 ms away", far_redis, (), {}),
                    ("Postgres 1 ms away, no client-side cache", redis_url, (), NO_CLIENT_CACHE),
                )
                for where, cache, goals, more in cases[:1] if laboratory.size.tiny else cases:
                    with _query_api(laboratory, far, cache, more) as cached:
                        yield _next_to_sql(
                            laboratory, cached, by_sql=by_sql, where=where, orders=orders, goals=goals
                        )


@contextlib.contextmanager
def _far_away(laboratory: Laboratory, url: str) -> Iterator[str]:
    """The address of the same server, a millisecond away."""
    port = child.free_port()
    if url.startswith("redis"):
        at = urlsplit(url)
        host, to = at.hostname or "", at.port or 0
        login = at.netloc.rpartition("@")[0]
        far = urlunsplit(at._replace(netloc=f"{login}@127.0.0.1:{port}" if login else f"127.0.0.1:{port}"))
    else:
        known = psycopg.conninfo.conninfo_to_dict(url)
        host, to = str(known["host"]), int(str(known["port"]))
        far = psycopg.conninfo.make_conninfo(url, host="127.0.0.1", port=port)
    with laboratory.python(
        "benchmarks.distance", "--port", str(port), "--to-host", host, "--to-port", str(to)
    ):
        eventually(lambda: not child.is_free(port), "the distant server is there")
        yield far


@contextlib.contextmanager
def _query_api(laboratory: Laboratory, url: str, redis_url: str, more: Mapping[str, str]) -> Iterator[int]:
    """The port of a query API."""
    port = child.free_port()
    environment = {
        "COUNTERFOIL_DATABASE_URL": url,
        "COUNTERFOIL_REDIS_URL": redis_url,
        "COUNTERFOIL_QUERY_API_PORT": str(port),
        "COUNTERFOIL_HOME": str(laboratory.directory / "nowhere"),
        **more,
    }
    with laboratory.http(["counterfoil", "query-api"], port=port, environment=environment):
        yield port


def _next_to_sql(
    laboratory: Laboratory,
    cached: int,
    *,
    by_sql: int,
    where: str,
    orders: int,
    goals: tuple[Goal, ...] = EARNS_ITS_PLACE,
) -> Row:
    """Two query APIs by their ports, in turns."""
    loads: dict[str, list[Found]] = {"ours": [], "peer": []}

    def measured(name: str, port: int) -> float:
        loads[name].append(load(laboratory, "order", port, orders=orders))
        return loads[name][-1].rate

    found = alternating(
        {"ours": lambda: measured("ours", cached), "peer": lambda: measured("peer", by_sql)},
        rounds=laboratory.size.rounds,
    )
    took = {name: loads[name][-1] for name in loads}
    return Row(
        name=NAME,
        case=f"from Redis, {where}",
        unit="reads/s",
        ours=found["ours"],
        peer=found["peer"],
        peer_name="from SQL",
        goals=goals,
        note=f"p50 {took['ours'].p50_ms:.1f} ms, p99 {took['ours'].p99_ms:.1f} ms; from SQL"
        f" {took['peer'].p50_ms:.1f} and {took['peer'].p99_ms:.1f} ms",
    )


def _measured(laboratory: Laboratory, port: int, *, source: str, orders: int) -> Row:
    loads: list[Found] = []

    def ours() -> float:
        loads.append(load(laboratory, "order", port, orders=orders))
        return loads[-1].rate

    found = alternating(
        {"ours": ours, "limit": lambda: load(laboratory, "order", port, path="/livez").rate},
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
