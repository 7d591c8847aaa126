"""Routes that will go: what says so in answers (RFC 9745, RFC 8594) and in the OpenAPI document."""

import datetime as dt
from collections.abc import Callable
from email.utils import format_datetime
from typing import Any, Final, TypeVar

from msgspec import Struct

from runtime.http.headers import Header

F = TypeVar("F", bound=Callable[..., Any])

SUNSET: Final = "x-sunset"
"""Member of an operation: the day on which it goes."""


class Deprecation(Struct, frozen=True, kw_only=True):
    """Since when a route is not to be used any more, when it goes, and the address of what takes its place.

    A route goes no earlier than its sunset; one without a sunset stays until the version of the API goes.
    """

    since: dt.date
    sunset: dt.date | None = None
    successor: str | None = None

    @property
    def headers(self) -> tuple[Header, ...]:
        """What its answers say, whatever they are."""
        found = [(b"deprecation", b"@%d" % _midnight(self.since).timestamp())]
        if self.sunset is not None:
            found.append((b"sunset", format_datetime(_midnight(self.sunset), usegmt=True).encode("ascii")))
        if self.successor is not None:
            found.append((b"link", f'<{self.successor}>; rel="successor-version"'.encode("ascii")))
        return tuple(found)

    @property
    def members(self) -> dict[str, str]:
        """The same as members of an object, where one answer is about several routes."""
        found = {"since": self.since.isoformat()}
        if self.sunset is not None:
            found["sunset"] = self.sunset.isoformat()
        if self.successor is not None:
            found["successor"] = self.successor
        return found


def deprecated(deprecation: Deprecation) -> Callable[[F], F]:
    """Declare that the route of an endpoint will go."""

    def declare(endpoint: F) -> F:
        endpoint.deprecation = deprecation  # type: ignore[attr-defined]
        return endpoint

    return declare


def deprecation_of(endpoint: object) -> Deprecation | None:
    """What was declared of an endpoint."""
    return getattr(endpoint, "deprecation", None)


def _midnight(day: dt.date) -> dt.datetime:
    return dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC)
