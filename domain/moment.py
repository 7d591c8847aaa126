"""Moments: every time in an event names its offset, and is written in UTC."""

from datetime import UTC, datetime
from typing import Annotated

from msgspec import Meta

Moment = Annotated[datetime, Meta(tz=True)]
"""A time with an offset: text without one does not decode."""


def in_utc(moment: datetime) -> datetime:
    """The same moment in UTC, so that its date is the day everybody counts it on."""
    assert moment.tzinfo is not None, "a moment without an offset was let in"
    return moment.astimezone(UTC)
