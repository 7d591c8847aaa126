"""Metrics of logins and refreshes, by outcome."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter

OPENED: Final = "opened"
REFUSED: Final = "refused"
LIMITED: Final = "limited"
ROTATED: Final = "rotated"
REPEATED: Final = "repeated"
REUSED: Final = "reused"


class SessionMetrics:
    """Counted where it is decided."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.logins = Counter(
            "counterfoil_identity_logins",
            "Logins by what came of them: opened, refused, or limited before any work",
            ["outcome"],
            registry=registry,
        )
        self.refreshes = Counter(
            "counterfoil_identity_refreshes",
            "Refreshes by what came of them: rotated, repeated within the grace, refused, or reused",
            ["outcome"],
            registry=registry,
        )
