"""How many events a second does a rebuild apply: from the log into SQL rows, and further into documents in Redis?

One process folds; events are those that change the view. The peer is the library's projection runner with a view
of the same kind in the same Postgres.
"""

import time
from collections.abc import Iterator
from typing import Any, Final

from prometheus_client import CollectorRegistry

from benchmarks import library, shop_events, workers
from benchmarks.laboratory import Laboratory
from benchmarks.measuring import alternating
from benchmarks.table import Goal, Row
from event_store.log import reading
from event_store.transport import generations
from projections import adopting, builds, rebuild
from projections.inventory.views import stock_level
from projections.metrics import ProjectionMetrics
from projections.mirroring import Mirror
from projections.ordering.views import order_details
from projections.performing import SESSION
from projections.storing import BuildId
from projections.view import View
from runtime import database
from runtime.documents import RedisDocuments

NAME: Final = "rebuild"
EVENTS: Final = 260_000
LIBRARY_EVENTS: Final = 2_000
INTO_SQL: Final = (Goal("ours", at_least=40_000), Goal("ratio_to_peer", at_least=15))
INTO_REDIS: Final = (Goal("ours", at_least=25_000), Goal("ratio_to_peer", at_least=15))


def rows(laboratory: Laboratory) -> Iterator[Row]:
    """For each view one row into SQL and one that also goes into Redis."""
    count = laboratory.size.count(EVENTS, tiny=3_000)
    peer_count = laboratory.size.count(LIBRARY_EVENTS, tiny=100)
    with laboratory.database() as url:
        shop_events.fill(url, shop_events.history(count))
        workers.settle(url)
        for view, orders in ((stock_level, False), (order_details, True)):
            yield from _measured(laboratory, url, view, orders=orders, peer_events=peer_count)


def _measured(
    laboratory: Laboratory, url: str, view: View[Any], *, orders: bool, peer_events: int
) -> Iterator[Row]:
    found = alternating(
        {
            "sql": lambda: _rebuilt(laboratory, url, view, mirrored=False),
            "peer": lambda: _of_library(laboratory, orders=orders, events=peer_events),
            "redis": lambda: _rebuilt(laboratory, url, view, mirrored=True),
        },
        rounds=laboratory.size.rounds,
    )
    what = f"{view.name}, {shop_events.LINES} lines" if orders else view.name
    for ours, where, goals in (("sql", "into SQL", INTO_SQL), ("redis", "and into Redis", INTO_REDIS)):
        yield Row(
            name=NAME,
            case=f"{what}, {where}",
            unit="events/s",
            ours=found[ours],
            peer=found["peer"],
            peer_name=f"{library.NAME}, projection runner into SQL",
            goals=goals,
        )


def _rebuilt(laboratory: Laboratory, url: str, view: View[Any], *, mirrored: bool) -> float:
    """Events a second of a rebuild from nothing; with `mirrored` until every document is written, too."""
    redis_url = laboratory.redis_url() if mirrored else None
    with database.connect(
        url, role="counterfoil_projector", name="benchmark", settings=SESSION
    ) as connection:
        builds.ensure_builds(connection, [view])
        began = time.perf_counter()
        progress = list(rebuild.rebuild(url, view))[-1]
        if redis_url is not None:
            _mirror(connection, view, progress.build, redis_url)
        passed = time.perf_counter() - began
    rebuild.drop(url, view, progress.build)
    return progress.applied / passed


def _mirror(connection: reading.Connection, view: View[Any], build: BuildId, redis_url: str) -> None:
    documents = RedisDocuments(redis_url)
    generation = generations.current_generation(connection).generation
    adopted = adopting.followings(connection, [view], generation=generation, sources=None)
    mirror = Mirror(documents, metrics=ProjectionMetrics(CollectorRegistry()))
    mirror.adopt(
        connection, [each for each in adopted if each.build == build], history=reading.history(connection)
    )
    while mirror.step(connection):
        pass
    documents.close()


def _of_library(laboratory: Laboratory, *, orders: bool, events: int) -> float:
    with laboratory.database(migrated=False) as url:
        last = library.fill_orders(url, orders=events) if orders else library.fill_stock(url, events=events)
        return library.projected(url, last=last, orders=orders)
