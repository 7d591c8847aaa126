"""What the policies show: metrics for graphs and alarms, and a condition for readiness."""

from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge

from event_store.following import FollowerMetrics

Condition = Literal["starting", "standby", "active", "retrying", "fork", "stopped"]


class PolicyMetrics:
    """What the worker did, by policy."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.transport = FollowerMetrics(registry)
        self.triggers = Counter(
            "counterfoil_policy_triggers",
            "Triggers with an outcome: decided, refused, empty, replayed or given_up",
            ["policy", "outcome"],
            registry=registry,
        )
        self.conflicts = Counter(
            "counterfoil_policy_conflicts",
            "Appends that met another writer and were decided again",
            registry=registry,
        )
        self.parkings = Counter(
            "counterfoil_policy_parkings",
            "Triggers that could not be decided",
            ["policy"],
            registry=registry,
        )
        self.parked = Gauge(
            "counterfoil_policy_parked", "Triggers that wait for a person", ["policy"], registry=registry
        )
        self.lag = Gauge(
            "counterfoil_policy_lag_events",
            "Events between the log's head and the policy",
            ["policy"],
            registry=registry,
        )
        self.in_flight = Gauge("counterfoil_policy_in_flight", "Appends on their way", registry=registry)
        self.waiting = Gauge("counterfoil_policy_waiting", "Triggers not yet decided", registry=registry)
        self.active = Gauge(
            "counterfoil_policies_active", "1 while this worker holds the lease", registry=registry
        )
        self.failures = Counter(
            "counterfoil_policies_failures", "Terms that failed, by error", ["error"], registry=registry
        )


class PolicyHealth:
    """What `/readyz` shows: written by the worker's thread, read by any."""

    def __init__(self) -> None:
        self.condition: Condition = "starting"
        self.detail = ""

    @property
    def ready(self) -> bool:
        """Whether this worker does its part: deciding, or standing by for another that does."""
        return self.condition in {"active", "standby"}
