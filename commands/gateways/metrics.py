"""Metrics of senders, by gateway."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class GatewayMetrics:
    """Metrics of the senders of one process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.calls = Counter(
            "counterfoil_gateway_calls",
            "Calls to the outside by what came back: the kind of answer, nothing, or the kind of failure",
            ["gateway", "call", "result"],
            registry=registry,
        )
        self.in_flight = Gauge(
            "counterfoil_gateway_in_flight", "Intents being carried out", ["gateway"], registry=registry
        )
        self.oldest = Gauge(
            "counterfoil_gateway_oldest_unanswered_seconds",
            "How long ago the oldest intent without an answer was recorded; 0 when none waits",
            ["gateway"],
            registry=registry,
        )

    def left(self, gateway: str) -> None:
        """Show nothing of a gateway any more: another process sends for it now."""
        for gauge in (self.in_flight, self.oldest):
            gauge.labels(gateway).set(0)
