"""The locations that stock lies in. Orders are planned over the open ones, in the order of their priorities.

One stream has all of them, since each plan reads all. The main location is there from the beginning, open, and before
all others until it is set otherwise. Refusals:

Conflict  LocationClosed, TooManyLocations
Unknown   LocationUnknown
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from msgspec import Struct

from domain.aggregate import Aggregate
from domain.event import Event
from domain.ids import LocationId
from domain.inventory.events import LocationSet
from domain.moment import in_utc
from domain.rejection import Conflict, Unknown

MAIN: Final = LocationId("main")
"""Where stock lies of which nothing else is said."""

ALL: Final = "all"
"""The id of the one stream."""

LOCATIONS_MAX: Final = 50
"""Locations, closed ones included: each plan goes through all of them."""

PRIORITY_MAX: Final = 1_000


class Location(Struct, frozen=True):
    """One location; `priority` 0 comes first."""

    priority: int
    is_open: bool


class Locations(Struct, frozen=True):
    """All that were set, by id."""

    by_id: Mapping[LocationId, Location]


@dataclass(kw_only=True, eq=False)
class LocationUnknown(Unknown):
    """No location has this id."""

    title = "There is no such location"
    meaning = "The command names a location that was never set."
    remedy = "Check the id: case matters. A location is set by `POST /v1/locations/{location_id}`."

    location_id: LocationId

    def __str__(self) -> str:
        return f"There is no location '{self.location_id}'."


@dataclass(kw_only=True, eq=False)
class LocationClosed(Conflict):
    """Nothing comes in there."""

    title = "The location is closed"
    meaning = "A closed location takes no deliveries. What lies there can be corrected, and shipped if it is reserved."
    remedy = "Name another location, or open this one."

    location_id: LocationId

    def __str__(self) -> str:
        return f"Location '{self.location_id}' is closed."


@dataclass(kw_only=True, eq=False)
class TooManyLocations(Conflict):
    """There are as many as there may be."""

    title = "There are too many locations"
    meaning = "There are `facts.limit` locations already, closed ones included."
    remedy = "Use one of those again."

    limit: int = LOCATIONS_MAX

    def __str__(self) -> str:
        return f"There are {self.limit} locations already."


def evolve(locations: Locations | None, event: Event) -> Locations:
    """Return the locations as they are after `event`."""
    match event:
        case LocationSet():
            others = {} if locations is None else locations.by_id
            return Locations({**others, event.location_id: Location(event.priority, event.is_open)})
    raise AssertionError(f"{type(event).__name__} is no event of locations")


LOCATIONS: Final[Aggregate[Locations]] = Aggregate("locations", evolve, (LocationSet,))


def set_location(
    locations: Locations | None, *, location_id: LocationId, priority: int, is_open: bool, now: datetime
) -> list[Event]:
    """Set a location, new or not; nothing if it is so.

    Raises:
        TooManyLocations: it is new, and there are as many as there may be.
    """
    known = _known(locations)
    if known.get(location_id) == Location(priority, is_open):
        return []
    if location_id not in known and len(known) >= LOCATIONS_MAX:
        raise TooManyLocations
    return [LocationSet(location_id=location_id, priority=priority, is_open=is_open, set_at=in_utc(now))]


def open_locations(locations: Locations | None) -> Sequence[LocationId]:
    """The open ones, in the order in which orders are planned over them."""
    known = _known(locations)
    return sorted(
        (each for each in known if known[each].is_open), key=lambda each: (known[each].priority, each)
    )


def require_known(locations: Locations | None, location_id: LocationId) -> None:
    """Refuse a location that there is not.

    Raises:
        LocationUnknown: it was never set.
    """
    if location_id not in _known(locations):
        raise LocationUnknown(location_id=location_id)


def require_open(locations: Locations | None, location_id: LocationId) -> None:
    """Refuse a location that takes nothing in.

    Raises:
        LocationUnknown, LocationClosed: there is none, or it is closed.
    """
    require_known(locations, location_id)
    if not _known(locations)[location_id].is_open:
        raise LocationClosed(location_id=location_id)


def _known(locations: Locations | None) -> Mapping[LocationId, Location]:
    main = {MAIN: Location(priority=0, is_open=True)}
    return main if locations is None else {**main, **locations.by_id}
