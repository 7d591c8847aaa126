"""A category: a node of the tree under which listings are found.

No category is above itself: a move is decided on every category above the new parent, and the append names the
version of each, so that of two moves that would close a circle together one is decided again.

Conflict      CategoryIdTaken, CategoryTooDeep, SlugTaken
Unknown       CategoryUnknown
Unacceptable  CategoryCycle
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from domain.aggregate import Aggregate
from domain.catalogue import slugs
from domain.catalogue.events import CategoryCreated, CategoryMoved
from domain.event import Event
from domain.ids import CategoryId
from domain.moment import in_utc
from domain.rejection import Conflict, Unacceptable, Unknown

ANCESTORS_MAX: Final = 8
"""Categories above the one that another is put under, with that one."""


class Category(Struct, frozen=True):
    """What decisions need of a category. At the top of the tree `parent_id` is None."""

    category_id: CategoryId
    parent_id: CategoryId | None


@dataclass(kw_only=True, eq=False)
class CategoryIdTaken(Conflict):
    """The id belongs to a category already."""

    title = "The id belongs to a category already"
    meaning = "A category is created once."
    remedy = "Move the category that has the id, or choose another id."

    category_id: CategoryId

    def __str__(self) -> str:
        return f"There is a category '{self.category_id}' already."


@dataclass(kw_only=True, eq=False)
class CategoryUnknown(Unknown):
    """No category has this id."""

    title = "There is no such category"
    meaning = "No category with this id was created."
    remedy = "Create the category first, or check the id: case matters."

    category_id: CategoryId

    def __str__(self) -> str:
        return f"There is no category '{self.category_id}'."


@dataclass(kw_only=True, eq=False)
class CategoryCycle(Unacceptable):
    """The category would be above itself."""

    title = "The category would be above itself"
    meaning = "The new parent is the category itself, or is under it."
    remedy = "Move the parent out first, or choose another one."

    category_id: CategoryId
    parent_id: CategoryId

    def __str__(self) -> str:
        return f"'{self.parent_id}' is under '{self.category_id}', or is the same."


@dataclass(kw_only=True, eq=False)
class CategoryTooDeep(Conflict):
    """Too many categories are above the parent."""

    title = "The category would be too deep in the tree"
    meaning = "As many categories as `facts.limit` may be above another one when it is put there."
    remedy = "Choose a parent that is nearer to the top."

    parent_id: CategoryId
    limit: int = ANCESTORS_MAX

    def __str__(self) -> str:
        return f"'{self.parent_id}' has too many categories above it: {self.limit} may be above another one."


def evolve(category: Category | None, event: Event) -> Category:
    """Return the category as it is after `event`."""
    match event:
        case CategoryCreated():
            return Category(event.category_id, event.parent_id)
        case CategoryMoved():
            assert category is not None, "a move of a category that was never created"
            return replace(category, parent_id=event.parent_id)
    raise AssertionError(f"{type(event).__name__} is no event of a category")


CATEGORY: Final[Aggregate[Category]] = Aggregate("category", evolve, (CategoryCreated, CategoryMoved))


def create(
    category: Category | None,
    *,
    category_id: CategoryId,
    slug: str,
    slug_holder: CategoryId | None,
    titles: dict[str, str],
    ancestors: Sequence[CategoryId],
    now: datetime,
) -> list[Event]:
    """Create a category. `ancestors` are its parent and what is above that, nearest first; none at the top.

    Raises:
        CategoryIdTaken: there is one of this id.
        SlugTaken: another one had the slug first.
        CategoryTooDeep: too many are above it.
    """
    if category is not None:
        raise CategoryIdTaken(category_id=category_id)
    slugs.require_free(slug, holder=slug_holder, wanted_by=category_id)
    _require_depth(ancestors)
    return [
        CategoryCreated(
            category_id=category_id,
            parent_id=ancestors[0] if ancestors else None,
            slug=slug,
            titles=titles,
            created_at=in_utc(now),
        )
    ]


def move(
    category: Category | None, *, category_id: CategoryId, ancestors: Sequence[CategoryId], now: datetime
) -> list[Event]:
    """Put a category, with all that is under it, elsewhere: `ancestors` as above. Where it is already changes nothing.

    Raises:
        CategoryUnknown: there is no such category.
        CategoryCycle: it would be above itself.
        CategoryTooDeep: too many would be above it.
    """
    if category is None:
        raise CategoryUnknown(category_id=category_id)
    parent_id = ancestors[0] if ancestors else None
    if parent_id is not None and category_id in ancestors:
        raise CategoryCycle(category_id=category_id, parent_id=parent_id)
    _require_depth(ancestors)
    if parent_id == category.parent_id:
        return []
    return [
        CategoryMoved(
            category_id=category_id,
            parent_id=parent_id,
            previous_parent_id=category.parent_id,
            moved_at=in_utc(now),
        )
    ]


def _require_depth(ancestors: Sequence[CategoryId]) -> None:
    if len(ancestors) > ANCESTORS_MAX:
        raise CategoryTooDeep(parent_id=ancestors[0])
