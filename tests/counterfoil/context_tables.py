"""The table of a context's page that says which test shows what, compared with the code.

A page of `docs/contexts` has one table with this head, and a row for each command, or for what no command leads to:

    | command | event | refuses | test |
    |---|---|---|---|
    | `create_product` | `ProductCreated` | `sku-taken` | `test_a_code_is_taken_once` |
    | `merge_customers` | `CustomersMerged`, `RecordClosed` | `hold-stands` | `test_one`, `test_two` |
    | the sender | `PersonalDataErased` | | `tests/customers/test_erasure.py::test_it_is_recorded` |

and one of the rules that hold whatever the command is:

    | invariant | test |
    |---|---|
    | the tree of categories has no cycle | `test_two_moves_at_once_make_no_cycle` |

Only what stands in backticks is compared: operation ids of the context's commands, names of its event classes, codes of
refusals, and functions of tests, by name where one test alone has the name, else as `path::name`. Words and dashes are
for readers. A command may have several rows.

The rules: every command, event and declared refusal of the context is in the table, and nothing else is; a command has
the refusals of the business that its route documents, no more and no fewer; each row and each invariant has a test that
exists; and every event and refusal of a row is named by a module of one of the row's tests, by class, type or code.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Final

from fastapi.routing import APIRoute
from msgspec import Struct

from commands.dispatcher import Command
from counterfoil.context import Context
from runtime.problem_types import CATALOGUE

ROOT: Final = Path(__file__).parents[2]

COMMANDS: Final = ("command", "event", "refuses", "test")
INVARIANTS: Final = ("invariant", "test")

_code = re.compile(r"`([^`]+)`").findall


class Row(Struct, frozen=True):
    """A row of the table of commands: what stands in backticks in each of its cells."""

    commands: tuple[str, ...]
    events: tuple[str, ...]
    refusals: tuple[str, ...]
    tests: tuple[str, ...]

    def __str__(self) -> str:
        return f"the row of {', '.join((*self.commands, *self.events, *self.refusals))}"


def cells(page: str, head: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The rows of every table of a page with this head, cell by cell."""
    inside = False
    for line in page.splitlines():
        if not line.startswith("|"):
            inside = False
            continue
        row = tuple(cell.strip() for cell in line.strip().strip("|").split("|"))
        if row == head:
            inside = True
        elif inside and not set(line) <= set("|-: "):
            yield row


def rows(page: str) -> list[Row]:
    """The table of commands of a page; none if it has no such table."""
    return [Row(*(tuple(_code(cell)) for cell in row)) for row in cells(page, COMMANDS)]


def findings(context: Context, page: str) -> list[str]:
    """Everything that the page's tables and the code say differently, one line each."""
    table = rows(page)
    if not table:
        return [f"{context.name}: no table with the head {' | '.join(COMMANDS)}"]
    found = (
        *_commands(context, table),
        *_events(context, table),
        *_refusals(context, table),
        *_tests(page, table),
    )
    return [f"{context.name}: {finding}" for finding in found]


def _commands(context: Context, table: list[Row]) -> Iterator[str]:
    """Every command is in the table, with what its route documents that it refuses."""
    refused = refusals_of(context)
    listed: defaultdict[str, set[str]] = defaultdict(set)
    for row in table:
        for name in row.commands:
            listed[name].update(row.refusals)
    yield from (f"no row has the command {name}" for name in refused if name not in listed)
    yield from (f"there is no command {name}" for name in listed if name not in refused)
    for name, codes in refused.items():
        yield from (f"{name} refuses {code}, and no row says so" for code in sorted(codes - listed[name]))
    for row in table:
        documented = {code for name in row.commands for code in refused.get(name, ())}
        for code in row.refusals if row.commands else ():
            if code not in documented:
                yield f"the route of {' or '.join(row.commands)} does not document that it refuses {code}"


def _events(context: Context, table: list[Row]) -> Iterator[str]:
    events, listed = (
        {each.__name__ for each in context.events},
        {name for row in table for name in row.events},
    )
    yield from (f"no row has the event {name}" for name in sorted(events - listed))
    yield from (f"it has no event {name}" for name in sorted(listed - events))


def _refusals(context: Context, table: list[Row]) -> Iterator[str]:
    listed = {code for row in table for code in row.refusals}
    yield from (f"no row refuses {each.code}" for each in context.problems if each.code not in listed)


def _tests(page: str, table: list[Row]) -> Iterator[str]:
    """Every test exists, and has to do with what it is named for."""
    for row in table:
        modules = []
        for name in row.tests:
            found = places(name)
            if len(found) == 1:
                modules.append(found[0])
            else:
                yield f"{row}: {len(found)} tests have the name {name}"
        if not row.tests:
            yield f"{row}: it names no test"
        text = "".join(map(_text, modules))
        for name, words in _words(row).items():
            if modules and not any(re.search(rf"\b{re.escape(word)}\b", text) for word in words):
                yield f"{row}: no module of its tests names {name}"
    for cell in cells(page, INVARIANTS):
        tests = _code(cell[1])
        if not tests:
            yield f"the invariant '{cell[0]}' names no test"
        yield from (
            f"{len(places(name))} tests have the name {name}" for name in tests if len(places(name)) != 1
        )


def _words(row: Row) -> Mapping[str, tuple[str, ...]]:
    """By what a test may name an event or a refusal: `SkuTaken` is `sku-taken`, `ProductCreated` `product_created`."""
    snake = {name: re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower() for name in row.events}
    pascal = {code: "".join(word.capitalize() for word in code.split("-")) for code in row.refusals}
    return {
        **{name: (name, text) for name, text in snake.items()},
        **{code: (code, name) for code, name in pascal.items()},
    }


def refusals_of(context: Context) -> dict[str, set[str]]:
    """The refusals of the business that the routes of a context document, by command."""
    router = context.served_commands
    found: dict[str, set[str]] = {}
    for route in [] if router is None else router.routes:
        assert isinstance(route, APIRoute)
        documented = {
            slug
            for response in route.responses.values()
            for content in response.get("content", {}).values()
            for slug in content.get("examples", {})
        }
        found[Command.of(route.endpoint).name] = documented - CATALOGUE.keys()
    return found


def places(test: str) -> list[Path]:
    """The modules that have a test of this name, or the one that is named with it."""
    path, separator, name = test.rpartition("::")
    return [each for each in _defined().get(name, ()) if not separator or each == ROOT / path]


@cache
def _defined() -> dict[str, list[Path]]:
    """Every test by its name, with the modules that have one of that name."""
    found: defaultdict[str, list[Path]] = defaultdict(list)
    for path in sorted((ROOT / "tests").rglob("*.py")):
        for name in re.findall(r"^\s*(?:async )?def (test_\w+)\(", _text(path), re.MULTILINE):
            found[name].append(path)
    return dict(found)


@cache
def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")
