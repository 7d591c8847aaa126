"""Figures of the query API: who answers reads by id, and whether its servers are there."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge


class ReadMetrics:
    """Counts reads by id, by view and source."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register the counter."""
        self._reads = Counter(
            "counterfoil_reads", "Reads by id, by who answered them.", ["view", "source"], registry=registry
        )

    def of(self, view: str) -> tuple[Counter, Counter]:
        """Counters of the reads of one view that the cache answered, and that SQL did."""
        return self._reads.labels(view, "cache"), self._reads.labels(view, "sql")


def observe_servers(
    registry: CollectorRegistry, *, postgres: Callable[[], bool], redis: Callable[[], bool] | None
) -> None:
    """Show whether each server answers; a process without a cache has no figure for it."""
    gauge = Gauge("counterfoil_server_answers", "1 while the server answers.", ["server"], registry=registry)
    gauge.labels("postgres").set_function(lambda: float(postgres()))
    if redis is not None:
        gauge.labels("redis").set_function(lambda: float(redis()))
