"""Figures of the query API: who answers reads by id, and whether its servers are there."""

from collections.abc import Callable
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge


class Sources(NamedTuple):
    """How many reads were answered from the client-side cache of this process, from Redis, and from SQL."""

    client_cache: Counter
    cache: Counter
    sql: Counter


class ReadMetrics:
    """Counts reads by id, by view and source."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register the counter."""
        self._reads = Counter(
            "counterfoil_reads", "Reads by id, by who answered them.", ["view", "source"], registry=registry
        )

    def of(self, view: str) -> Sources:
        """Counters of the reads of one view."""
        return Sources(*(self._reads.labels(view, source) for source in ("client_cache", "cache", "sql")))


def observe_client_cache(registry: CollectorRegistry, *, size_bytes: Callable[[], int]) -> None:
    """Show what the client-side cache holds."""
    gauge = Gauge("counterfoil_client_cache_bytes", "Bytes in the client-side cache.", registry=registry)
    gauge.set_function(lambda: float(size_bytes()))


def observe_servers(
    registry: CollectorRegistry, *, postgres: Callable[[], bool], redis: Callable[[], bool] | None
) -> None:
    """Show whether each server answers; a process without a cache has no figure for it."""
    gauge = Gauge("counterfoil_server_answers", "1 while the server answers.", ["server"], registry=registry)
    gauge.labels("postgres").set_function(lambda: float(postgres()))
    if redis is not None:
        gauge.labels("redis").set_function(lambda: float(redis()))
