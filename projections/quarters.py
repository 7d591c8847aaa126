"""Quarters of an hour, of which the days of every time zone are made."""

from datetime import UTC, datetime
from typing import Final

MINUTES: Final = 15
"""No zone is apart from UTC by a part of this, since the last one that was gave it up in 1972."""


def quarter_of(moment: datetime) -> datetime:
    """When the quarter of an hour began in which a moment lies, in UTC."""
    in_utc = moment.astimezone(UTC)
    return in_utc.replace(minute=in_utc.minute // MINUTES * MINUTES, second=0, microsecond=0)
