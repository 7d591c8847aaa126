"""The page of each context names all there is: its facts, its refusals, its views and their fields."""

from pathlib import Path

import pytest

from counterfoil.contexts import CONTEXTS
from domain.rejection import Rejection
from tests.domain.event_shapes import published
from tests.domain.test_rejection import REFUSALS

PAGES = Path(__file__).parents[2] / "docs" / "contexts"
NAMES = tuple(context.name for context in CONTEXTS)


def page(context: str) -> str:
    return (PAGES / f"{context}.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(published()))
def test_every_fact_is_on_the_page_of_its_context_with_its_fields(name):
    (context,) = [context for context in CONTEXTS if published()[name] in context.events]
    (row,) = [line for line in page(context.name).splitlines() if line.startswith(f"| `{name}` |")]
    fields = published()[name].__struct_fields__
    repeated = "as OrderConfirmed" in row

    assert repeated or [field for field in fields if f"`{field}`" not in row] == []


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.__name__)
def test_every_refusal_is_on_a_page(refusal: type[Rejection]):
    context = refusal.__module__.split(".")[1]
    pages = [page(context)] if context in NAMES else [page(each) for each in NAMES]

    assert any(f"`{refusal.code}`" in text for text in pages)


@pytest.mark.parametrize("view", CONTEXTS.views, ids=lambda view: view.name)
def test_every_view_is_on_the_page_of_its_context_with_its_fields(view):
    text = page(view.row.__module__.split(".")[1])

    assert f"**`{view.name}`**" in text
    assert [column.name for column in view.columns if f"`{column.name}`" not in text] == []
