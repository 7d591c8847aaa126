"""Times and dates in requests: RFC 3339 with an offset, and YYYY-MM-DD; no other spelling is taken for one of them."""

import re
from datetime import date, datetime
from typing import Final

MOMENT_HINT: Final = "A time is RFC 3339 with an offset, such as 2026-03-01T12:00:00Z"
DATE_HINT: Final = "A date is YYYY-MM-DD, such as 2026-03-01"
NO_MOMENT: Final = "There is no such time"
NO_DAY: Final = "There is no such day"

_is_moment = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?([Zz]|[+-][0-9]{2}:[0-9]{2})"
).fullmatch
_is_date = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}").fullmatch


def moment(text: str) -> datetime:
    """The time that a text names, with its offset; more than microseconds would have to be cut off.

    Source: RFC 3339, section 5.6 (`date-time`).

    Raises:
        ValueError: the text is spelled otherwise, or there is no such time.
    """
    if _is_moment(text) is None:
        raise ValueError(MOMENT_HINT)
    try:
        return datetime.fromisoformat(text.upper())
    except ValueError as error:
        raise ValueError(NO_MOMENT) from error


def day(text: str) -> date:
    """The date that a text names.

    Source: RFC 3339, section 5.6 (`full-date`).

    Raises:
        ValueError: the text is spelled otherwise, or there is no such day.
    """
    if _is_date(text) is None:
        raise ValueError(DATE_HINT)
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ValueError(NO_DAY) from error
