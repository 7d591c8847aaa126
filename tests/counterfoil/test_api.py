"""The public module: whole, documented, and enough to declare a context with."""

import ast
import inspect
import re
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
import pytest
from fastapi import APIRouter

from commands.receiving import Receiver
from counterfoil import api
from projections.measure import Measure
from read_api.routing import Queries
from tests.architecture import purity
from tests.architecture.source import PACKAGES, ROOT, Source

INTERNAL = {
    "DecisionView.rely_on": "execution names what a decision relied on",
    "Queries.install": "the query API serves it",
    "LogConsumer.dispatch": "its worker handles events with it",
    "View.folds": "workers fold with it",
    "Timer.part": "the view of timers folds with it",
    "View.on_recorded": "timers fold with it",
    "View.on": "what it answers is a decorator",
    "View.on_each": "what it answers is a decorator",
}
"""Members of public classes that are not public, or whose type nobody names, and why."""

PAGE = (ROOT / "docs" / "compatibility.md").read_text()
CONTEXT = ROOT / "tests" / "counterfoil" / "lending.py"


def test_every_name_that_the_module_imports_is_exported_and_no_other():
    imported = {name for name in vars(api) if not name.startswith("_")} - {"shadowing"}

    assert imported == set(api.__all__)
    assert len(imported) == len(api.__all__)


def test_every_class_and_function_says_what_it_is():
    assert [] == list(undocumented(api))


def undocumented(module: Any) -> Iterator[str]:
    for name in module.__all__:
        found = getattr(module, name)
        if (inspect.isclass(found) or inspect.isfunction(found)) and not found.__doc__:
            yield name


LOADED_LATE = {"APIRouter": APIRouter, "Queries": Queries, "Receiver": Receiver}
"""What signatures name and only the APIs import."""

OF_THE_PRODUCT = {
    Receiver: "webhooks are taken in by the product's own contexts: what they record with is not public",
    Measure: "metrics of business are those of the product's own contexts",
}
"""Types of ours in public signatures that contexts from outside do without, and why."""


def test_every_type_that_a_public_signature_names_is_public():
    assert [] == list(unnamed(api))


def unnamed(module: Any) -> Iterator[str]:
    """Types of ours that a caller of the public names meets and cannot import."""
    exported = [getattr(module, name) for name in module.__all__]
    public = {each for found in exported for each in ours_in(found)}
    for where, typed in (
        each for found in public.union(filter(inspect.isfunction, exported)) for each in typed_in(found)
    ):
        for met in (
            each for hint in get_type_hints(typed, localns=LOADED_LATE).values() for each in ours_in(hint)
        ):
            if met not in public and met not in OF_THE_PRODUCT and where not in INTERNAL:
                yield f"{where} names {met.__module__}.{met.__qualname__}"


def typed_in(found: Any) -> Iterator[tuple[str, Any]]:
    """What of a class or function has annotations that a caller meets."""
    name = "DecisionView" if found is api.DecisionView else found.__name__
    if inspect.isfunction(found) or issubclass(found, msgspec.Struct):
        yield name, found
    for member, value in vars(found).items() if inspect.isclass(found) else ():
        plain = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
        if inspect.isfunction(plain) and not member.startswith("_"):
            yield f"{name}.{member}", plain


def ours_in(hint: Any) -> Iterator[type]:
    """The classes of ours in an annotation."""
    if isinstance(hint, list | tuple):
        for each in hint:
            yield from ours_in(each)
        return
    for each in (hint, get_origin(hint)):
        if isinstance(each, type) and each.__module__.partition(".")[0] in PACKAGES:
            yield each
    yield from ours_in(list(get_args(hint)))


def test_the_page_explains_every_name_and_no_other():
    explained = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| \S", PAGE, re.MULTILINE)

    assert sorted(api.__all__) == sorted(name for row in explained for name in re.findall(r"\w+", row))


def test_a_context_is_declared_with_nothing_but_the_public_module():
    assert [] == list(foreign_imports(Source("lending.py", CONTEXT.read_text())))


def foreign_imports(source: Source) -> Iterator[str]:
    for _, name in purity.imports(source):
        if name.partition(".")[0] in PACKAGES and name != "counterfoil.api":
            yield name


def module_with(**names: Any) -> ModuleType:
    """A module like the public one that exports these names too."""
    module = ModuleType("planted")
    vars(module).update({name: getattr(api, name) for name in api.__all__} | names)
    module.__all__ = [*api.__all__, *names]  # type: ignore[attr-defined]
    return module


class Secret:
    __module__ = "commands.planted"


def planted(secret: Secret) -> Secret:
    return secret


@pytest.mark.parametrize("rule", [undocumented, unnamed])
def test_a_name_without_a_word_and_a_type_that_nobody_can_import_are_found(
    rule: Callable[[Any], Iterator[str]],
):
    assert any("planted" in found for found in rule(module_with(planted=planted)))


def test_an_import_past_the_public_module_is_found():
    source = Source("planted.py", ast.unparse(ast.parse("from domain.event import Event")))

    assert ["domain.event"] == list(foreign_imports(source))
