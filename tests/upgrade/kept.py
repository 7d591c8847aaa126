"""Where dumps are, and what is in all of them."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from domain.event import type_name

DUMPS: Final = Path(__file__).parent / "dumps"

WAITING_ORDER: Final = "waiting"
"""Placed while no process manager runs: its timer is set, and nobody decided."""
SKIPPED_NOTE: Final = "skipped"
PARKED_NOTE: Final = "parked"


def missing_from(dump: str, events: Iterable[type]) -> set[str]:
    """The types of events of which a dump has none."""
    return {name for name in map(type_name, events) if f"'{name}'" not in dump}
