"""What process managers show: metrics for graphs and alarms, and a condition for readiness."""

from typing import Literal

from msgspec import Struct
from prometheus_client import CollectorRegistry, Counter, Gauge

from event_store.following import FollowerMetrics

Condition = Literal["starting", "standby", "active", "retrying", "fork", "stopped"]


class ProcessMetrics:
    """What the workers did, by process or by lease group."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.transport = FollowerMetrics(registry)
        self.triggers = Counter(
            "counterfoil_process_triggers",
            "Triggers with an outcome: decided, rejected, empty or replayed",
            ["process", "outcome"],
            registry=registry,
        )
        self.conflicts = Counter(
            "counterfoil_process_conflicts",
            "Appends that met another writer and were decided again",
            registry=registry,
        )
        self.parkings = Counter(
            "counterfoil_process_parkings",
            "Triggers that could not be decided",
            ["process"],
            registry=registry,
        )
        self.parked = Gauge("counterfoil_process_parked", "Parked triggers", ["process"], registry=registry)
        self.full = Gauge(
            "counterfoil_process_full",
            "1 while a process takes no triggers because too many are parked",
            ["process"],
            registry=registry,
        )
        self.lag = Gauge(
            "counterfoil_process_lag_events",
            "Events between the log's head and the process",
            ["process"],
            registry=registry,
        )
        self.in_flight = Gauge(
            "counterfoil_processes_in_flight", "Appends without a verdict yet", ["group"], registry=registry
        )
        self.waiting = Gauge(
            "counterfoil_processes_waiting", "Triggers not yet decided", ["group"], registry=registry
        )
        self.active = Gauge(
            "counterfoil_processes_active",
            "1 while this worker holds the lease",
            ["group"],
            registry=registry,
        )
        self.failures = Counter(
            "counterfoil_processes_failures",
            "Terms that failed, by error",
            ["group", "error"],
            registry=registry,
        )


class GroupHealth(Struct):
    """The condition of one lease group's worker, and why."""

    condition: Condition = "starting"
    detail: str = ""


class ProcessHealth:
    """What `/readyz` shows: written by the workers' threads, read by any."""

    def __init__(self) -> None:
        self.groups: dict[str, GroupHealth] = {}

    @property
    def ready(self) -> bool:
        """Whether every worker does its part: deciding, or standing by for another that does."""
        return bool(self.groups) and all(
            group.condition in {"active", "standby"} for group in self.groups.values()
        )
