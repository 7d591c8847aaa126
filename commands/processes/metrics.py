"""Metrics of process managers, in addition to those of all consumers."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class ProcessMetrics:
    """Metrics of the workers, by process or by lease group."""

    def __init__(self, registry: CollectorRegistry) -> None:
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
        self.full = Gauge(
            "counterfoil_process_full",
            "1 while a process takes no triggers because too many are parked",
            ["process"],
            registry=registry,
        )
        self.in_flight = Gauge(
            "counterfoil_processes_in_flight", "Appends without a verdict yet", ["group"], registry=registry
        )
        self.waiting = Gauge(
            "counterfoil_processes_waiting", "Triggers not yet decided", ["group"], registry=registry
        )
