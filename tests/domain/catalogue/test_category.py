import pytest

from counterfoil.testing.spec import given, state_of
from domain.catalogue import category
from domain.catalogue.category import (
    ANCESTORS_MAX,
    CATEGORY,
    CategoryCycle,
    CategoryIdTaken,
    CategoryTooDeep,
    CategoryUnknown,
)
from domain.catalogue.slugs import SlugTaken
from domain.ids import CategoryId
from tests.catalogue_examples import HEARTS, NOW, category_created, category_moved

DECORATION = CategoryId("decoration")
ROOT = CategoryId("root")
CREATE = {
    "category_id": HEARTS,
    "slug": "hearts",
    "slug_holder": None,
    "titles": {"en-GB": "Hearts"},
    "ancestors": (),
    "now": NOW,
}
MOVE = {"category_id": HEARTS, "now": NOW}


def test_a_category_is_created_at_the_top_or_under_another_one():
    given().when(category.create, **CREATE).then(category_created())
    given().when(category.create, **CREATE | {"ancestors": (DECORATION, ROOT)}).then(
        category_created(parent_id=DECORATION)
    )


def test_a_category_is_created_once():
    given(category_created()).when(category.create, **CREATE).then_refused(
        CategoryIdTaken, category_id=HEARTS
    )


def test_a_slug_belongs_to_the_category_that_had_it_first():
    given().when(category.create, **CREATE | {"slug_holder": DECORATION}).then_refused(
        SlugTaken, slug="hearts"
    )


def test_a_category_is_moved_and_keeps_where_it_was():
    given(category_created()).when(category.move, ancestors=(DECORATION,), **MOVE).then(category_moved())
    given(category_created(), category_moved()).when(category.move, ancestors=(), **MOVE).then(
        category_moved(parent_id=None, previous_parent_id=DECORATION)
    )


def test_a_category_that_is_there_already_is_not_moved():
    given(category_created(parent_id=DECORATION)).when(category.move, ancestors=(DECORATION,), **MOVE).then()


@pytest.mark.parametrize("ancestors", [(HEARTS,), (DECORATION, HEARTS), (DECORATION, ROOT, HEARTS)])
def test_no_category_is_above_itself(ancestors):
    given(category_created()).when(category.move, ancestors=ancestors, **MOVE).then_refused(
        CategoryCycle, category_id=HEARTS, parent_id=ancestors[0]
    )


def test_nothing_is_put_under_what_is_too_deep():
    deep = tuple(CategoryId(f"level-{n}") for n in range(ANCESTORS_MAX + 1))

    given().when(category.create, **CREATE | {"ancestors": deep}).then_refused(
        CategoryTooDeep, limit=ANCESTORS_MAX
    )
    given(category_created()).when(category.move, ancestors=deep, **MOVE).then_refused(CategoryTooDeep)
    given(category_created()).when(category.move, ancestors=deep[1:], **MOVE).then(
        category_moved(parent_id=deep[1])
    )


def test_only_a_category_is_moved():
    given().when(category.move, ancestors=(), **MOVE).then_refused(CategoryUnknown, category_id=HEARTS)


def test_a_category_is_under_its_newest_parent():
    assert DECORATION == state_of(CATEGORY, category_created(), category_moved()).parent_id
