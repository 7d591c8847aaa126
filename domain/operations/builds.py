"""Builds of views, as operators have them made, promoted, rolled back and dropped: one stream of acts for each view."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from msgspec import Struct

from domain.aggregate import Aggregate
from domain.event import Event
from domain.operations.events import DropRequested, PromotionRequested, RebuildRequested, RollbackRequested
from domain.rejection import Conflict, Unknown

BUILDS_PER_VIEW_MAX: Final = 2
"""The live one, and one that is being made or kept for a roll back."""


class Build(Struct, frozen=True):
    """A build of a view as it is when an operator acts."""

    shape: int
    build: int
    live: bool
    previous: bool
    """It answered before the live one."""
    folding: bool
    """It is still being folded from the log."""

    def __str__(self) -> str:
        return f"s{self.shape} b{self.build}"


class Decide(Protocol):
    """How an act on the builds of a view is decided."""

    def __call__(
        self, builds: Sequence[Build], *, view: str, actor: str, reason: str, now: datetime
    ) -> list[Event]:
        """The event that asks for it; refused where the builds do not allow it."""
        ...


class Acts(Struct, frozen=True):
    """How many acts concern a view, and the last of them."""

    requested: int
    last: str


@dataclass(kw_only=True, eq=False)
class ViewUnknown(Unknown):
    """There is no view of this name, or it has no build yet."""

    title = "The view does not exist"
    meaning = "No view of this name has a build; the member `known` lists the views."
    remedy = "Check the name: case matters. A new view gets its first build when the projections run."

    view: str
    known: list[str]

    def __str__(self) -> str:
        return f"there is no view {self.view}; there are {', '.join(self.known) or 'none'}"


@dataclass(kw_only=True, eq=False)
class NoOtherBuild(Conflict):
    """The live build is the only one, or none was live before it."""

    title = "The view has no such build"
    meaning = "A promotion or a drop needs a build next to the live one; a rollback needs a build that was live before."
    remedy = "`counterfoil views list` shows all builds; `counterfoil views rebuild` makes one."

    view: str
    wanted: str

    def __str__(self) -> str:
        return f"view {self.view} has no build {self.wanted}"


@dataclass(kw_only=True, eq=False)
class StillFolding(Conflict):
    """The build does not hold the whole log yet."""

    title = "The build is still being folded"
    meaning = (
        "A build can become live only after it was folded from the whole log and workers keep it up to date."
    )
    remedy = "Wait for the end of its rebuild, and until its checkpoints reach those of the live build."

    view: str
    shape: int
    build: int

    def __str__(self) -> str:
        return (
            f"{self.view} s{self.shape} b{self.build} is still being folded: run its rebuild to the end first"
        )


@dataclass(kw_only=True, eq=False)
class TooManyBuilds(Conflict):
    """The view has as many builds as it may."""

    title = "The view has two builds already"
    meaning = "A view has the live build and at most one next to it."
    remedy = "Drop the build that is not live first."

    view: str
    builds: list[str]

    def __str__(self) -> str:
        return (
            f"view {self.view} has {' and '.join(self.builds)} already: drop the one that is not live first"
        )


def evolve(acts: Acts | None, event: Event) -> Acts:
    """Return what was requested after `event`."""
    return Acts(requested=1 + (acts.requested if acts else 0), last=type(event).__name__)


BUILDS: Final[Aggregate[Acts]] = Aggregate(
    "builds", evolve, (RebuildRequested, PromotionRequested, RollbackRequested, DropRequested)
)


def rebuild(builds: Sequence[Build], *, view: str, actor: str, reason: str, now: datetime) -> list[Event]:
    """Have a new build folded, or one that was interrupted folded on."""
    if len(builds) >= BUILDS_PER_VIEW_MAX and not any(each.folding for each in builds):
        raise TooManyBuilds(view=view, builds=[str(each) for each in builds])
    return [RebuildRequested(view=view, actor=actor, reason=reason, requested_at=now)]


def promote(builds: Sequence[Build], *, view: str, actor: str, reason: str, now: datetime) -> list[Event]:
    """Have the build next to the live one answer."""
    build = _other_than_live(builds, view)
    if build.folding:
        raise StillFolding(view=view, shape=build.shape, build=build.build)
    return [
        PromotionRequested(
            view=view, shape=build.shape, build=build.build, actor=actor, reason=reason, requested_at=now
        )
    ]


def roll_back(builds: Sequence[Build], *, view: str, actor: str, reason: str, now: datetime) -> list[Event]:
    """Have the build answer again that did before."""
    for build in builds:
        if build.previous:
            return [
                RollbackRequested(
                    view=view,
                    shape=build.shape,
                    build=build.build,
                    actor=actor,
                    reason=reason,
                    requested_at=now,
                )
            ]
    raise NoOtherBuild(view=view, wanted="to roll back to")


def drop(builds: Sequence[Build], *, view: str, actor: str, reason: str, now: datetime) -> list[Event]:
    """Have the build removed that does not answer."""
    build = _other_than_live(builds, view)
    return [
        DropRequested(
            view=view, shape=build.shape, build=build.build, actor=actor, reason=reason, requested_at=now
        )
    ]


def _other_than_live(builds: Sequence[Build], view: str) -> Build:
    others = [build for build in builds if not build.live]
    if not others:
        raise NoOtherBuild(view=view, wanted="next to the live one")
    return others[-1]
