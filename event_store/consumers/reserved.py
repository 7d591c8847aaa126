"""Names of the consumers that an installation has by itself, which nothing declared may have."""

from typing import Final

ACTS: Final = "acts"
"""The consumer that carries out what operators request; it would have to end its own pause."""

RESERVED: Final = (
    "relay",
    "keyed-views",
    "deferred-views",
    "global-views",
    "snapshots",
    "timers",
    "security",
    "sealer",
    "auditor",
    ACTS,
)
"""Leases, metrics, health and pauses know them by these names; they keep no registration."""
