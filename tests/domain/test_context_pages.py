"""The page of each context names all there is: its events, its refusals, its views and their fields."""

from pathlib import Path

import pytest

from counterfoil.context import Context
from counterfoil.contexts import CONTEXTS
from domain.event import type_name, unversioned
from tests.domain.event_shapes import published

PAGES = Path(__file__).parents[2] / "docs" / "contexts"
TIMERS = PAGES.parent / "timers.md"


def page(context: str) -> str:
    return (PAGES / f"{context}.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(published()))
def test_every_event_is_on_the_page_of_its_context_with_its_fields(name):
    (context,) = [
        context
        for context in CONTEXTS
        if unversioned(name) in {unversioned(type_name(e)) for e in context.events}
    ]
    (row,) = [line for line in page(context.name).splitlines() if line.startswith(f"| `{name}` |")]
    fields = published()[name].__struct_fields__
    repeated = "as OrderConfirmed" in row

    assert repeated or [field for field in fields if f"`{field}`" not in row] == []


@pytest.mark.parametrize("context", [*CONTEXTS], ids=lambda context: context.name)
def test_every_refusal_is_on_the_page_of_each_context_that_declares_it(context: Context):
    text = page(context.name)

    assert [] == [refusal.code for refusal in context.problems if f"`{refusal.code}`" not in text]


@pytest.mark.parametrize("view", CONTEXTS.views, ids=lambda view: view.name)
def test_every_view_is_on_the_page_of_its_context_with_its_fields(view):
    timers = view in CONTEXTS.timers
    text = TIMERS.read_text(encoding="utf-8") if timers else page(view.row.__module__.split(".")[1])

    assert f"**`{view.name}`**" in text
    assert [column.name for column in view.columns if f"`{column.name}`" not in text] == []
