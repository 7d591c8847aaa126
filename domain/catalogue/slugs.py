"""Slugs: the part of a public address that names a listing or a category.

A slug belongs for ever to what had it first: an address that was printed, linked or indexed never leads to another
thing. Listings and categories do not share theirs.

Conflict  SlugTaken
"""

from dataclasses import dataclass
from typing import Final

from domain.rejection import Conflict

SLUG_CHARACTERS_MAX: Final = 100

SLUG_PATTERN: Final = r"^[a-z0-9]+(?:-[a-z0-9]+)*$"
"""Lower-case words of ASCII letters and digits, joined by `-`."""


@dataclass(kw_only=True, eq=False)
class SlugTaken(Conflict):
    """The slug belongs to another one."""

    title = "The slug belongs to another one"
    meaning = "A slug belongs for ever to the first listing, or the first category, that had it."
    remedy = "Choose another slug."

    slug: str

    def __str__(self) -> str:
        return f"The slug '{self.slug}' belongs to another one."


def require_free(slug: str, *, holder: str | None, wanted_by: str) -> None:
    """Refuse a slug that somebody else had first.

    Raises:
        SlugTaken: `holder` is another than who wants it.
    """
    if holder not in {None, wanted_by}:
        raise SlugTaken(slug=slug)
