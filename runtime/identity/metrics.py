"""What an API process says of its callers: denials, tokens that were verified, and how old its list of denials is."""

from collections import Counter
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.metrics_core import CounterMetricFamily, Metric


class IdentityMetrics:
    """Counted in plain numbers by the one thread that answers, as `HttpMetrics` is."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._denied: Counter[tuple[str, str]] = Counter()
        self._verified = {True: 0, False: 0}
        self._age = Gauge(
            "counterfoil_identity_denials_age_seconds",
            "Since this process read which tokens were revoked; infinite before the first time.",
            registry=registry,
        )
        registry.register(self)

    def denied(self, route: str, code: str) -> None:
        """Count a request that was refused because of who sent it."""
        self._denied[route, code] += 1

    def verifying(self, *, cached: bool) -> None:
        """Count a token that was shown; `cached`: it was verified before."""
        self._verified[cached] += 1

    def show_age(self, age_s: Callable[[], float]) -> None:
        """Show how old the list of denials is."""
        self._age.set_function(age_s)

    def collect(self) -> Iterator[Metric]:
        """The families, for the registry."""
        denials = CounterMetricFamily(
            "counterfoil_identity_denials",
            "Requests refused because of who sent them.",
            labels=["route", "code"],
        )
        for (route, code), count in sorted(self._denied.items()):
            denials.add_metric([route, code], count)
        yield denials
        verified = CounterMetricFamily(
            "counterfoil_identity_verifications", "Tokens that were shown.", labels=["cached"]
        )
        for cached, count in self._verified.items():
            verified.add_metric(["yes" if cached else "no"], count)
        yield verified
