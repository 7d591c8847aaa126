"""The metrics that all consumers share: one family of names, labelled by consumer."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class ConsumerMetrics:
    """Metrics of all consumers of one process.

    `consumer` is the name of what the driver runs; for lag and parked keys the name of the view, process or consumer
    that was declared. `build` is empty for everything but views.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.active = Gauge(
            "counterfoil_consumer_active",
            "1 while this process does the consumer's work: it holds the lease, if there is one",
            ["consumer"],
            registry=registry,
        )
        self.failures = Counter(
            "counterfoil_consumer_failures",
            "Failures that were retried, by error",
            ["consumer", "error"],
            registry=registry,
        )
        self._lag = Gauge(
            "counterfoil_consumer_lag_events",
            "Events between the log's head and the lowest checkpoint of what this process feeds",
            ["consumer", "build"],
            registry=registry,
        )
        self._parked = Gauge(
            "counterfoil_consumer_parked_keys",
            "Partition keys that are parked",
            ["consumer", "build"],
            registry=registry,
        )

    def stands(self, consumer: str, *, lag_events: int, parked_keys: int = 0, build: str = "") -> None:
        """Show how far a consumer is behind the log, and how many of its keys are parked."""
        self._lag.labels(consumer, build).set(lag_events)
        self._parked.labels(consumer, build).set(parked_keys)

    def left(self, consumer: str, *, build: str = "") -> None:
        """Show nothing of a consumer any more: another process does its work now."""
        for gauge in (self._lag, self._parked):
            gauge.remove(consumer, build)
