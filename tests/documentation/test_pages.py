"""What the pages say exists: links, commands, settings, metrics, problems, routes, files."""

import functools
import re
from pathlib import Path
from typing import Any, Final, get_args

import pytest
import typer
from fastapi.routing import APIRoute

from commands.documentation import ALWAYS
from counterfoil.cli import main
from counterfoil.contexts import CONTEXTS
from domain.mail.templates import TEMPLATES
from domain.rejection import Conflict, Unacceptable, Unknown
from event_store.proofs import examining
from examples.online_retail.formats import Format
from runtime.http.contract import EVERY_ROUTE
from runtime.problem_types import CATALOGUE
from runtime.settings import PREFIX, Settings
from tests.documentation import generated
from tests.documentation.pages import ROOT, Page, pages

PAGES: Final = pages()
ADR_PARTS: Final = ("Context", "Decision", "Consequences", "Alternatives", "What enforces it")

_FILE: Final = re.compile(
    r"(?:commands|counterfoil|domain|event_store|projections|read_api|runtime|tests|benchmarks|docs|deploy|devservers|examples)/[\w/.-]*"
)
_SETTING: Final = re.compile(rf"{PREFIX}[A-Z_]+[A-Z]")
_METRIC: Final = re.compile(r"\bcounterfoil_[a-z_]+[a-z]\b")
_METRIC_DECLARED: Final = re.compile(r"\"(counterfoil_[a-z_]+)\"")
_KEBAB: Final = re.compile(r"[a-z]+(?:-[a-z]+)+")
_CODE: Final = re.compile(r"`([a-z-]+)`")
_DASHES: Final = re.compile(r"(\| ?:?-+:? ?)+\|$")
_ROUTE: Final = re.compile(r"\b(GET|POST|PUT) (/[\w/{}-]*)")

METADATA: Final = {"counterfoil_key", "counterfoil_payment"}
"""Names under which a provider keeps what a payment is of."""
ROLES: Final = {
    f"counterfoil_{name}"
    for name in ("owner", "writer", "reader", "relay", "projector", "sealer", "migration")
}
NO_PROBLEMS: Final = {
    "add-checkpoint",
    "row-unreadable",
    "schema-changed",
    "tile-damaged",
    "command-api",
    "query-api",
    "security-anonymous",
    "kafka-python",
    "confluent-kafka",
    "content-type",
    "python-venv",
    "idempotent-replayed",
    "successor-version",
    "x-sunset",
    "fastapi-offline",
    "counterfoil-devservers",
    "swagger-ui-bundle",
    "online-retail",
    "credit-notes",
    "account-closing",
    "carts-left",
    "credit-expiry",
    "credit-holds",
    "order-mails",
    "sender-erasure",
    "sender-payment",
    "action-required",
    "keyed-views",
    "deferred-views",
    "global-views",
    *Format,
}
PLACEHOLDERS: Final = re.compile(r"<[^>]*>|…")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Page):
    assert [] == [link for link in page.links if not leads_somewhere(page, link)]


def leads_somewhere(page: Page, link: str) -> bool:
    if link.startswith(("http://", "https://")):
        return True
    path, _, wanted = link.partition("#")
    target = (page.path.parent / path).resolve() if path else page.path
    if not target.exists():
        return False
    return not wanted or wanted in page_at(target).anchors


@functools.cache
def page_at(path: Path) -> Page:
    """A page that many links lead to, taken apart once."""
    return Page(path, path.read_text())


def test_a_link_that_leads_nowhere_is_noticed():
    (index,) = [page for page in PAGES if page.name == "docs/index.md"]

    assert leads_somewhere(index, "log.md#roles")
    assert not leads_somewhere(index, "log.md#nowhere")
    assert not leads_somewhere(index, "nowhere.md")


def test_every_page_can_be_reached_from_the_readme():
    by_path = {page.path: page for page in PAGES}
    reached: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        path = waiting.pop()
        if path in reached or path not in by_path:
            continue
        reached.add(path)
        waiting += [(path.parent / link.partition("#")[0]).resolve() for link in by_path[path].links]

    assert [] == [page.name for page in PAGES if page.path not in reached]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_rows_are_in_tables(page: Page):
    assert [] == stray_rows(page.prose)


def test_a_row_that_an_empty_line_cuts_off_its_table_is_noticed():
    assert [] == stray_rows("| a |\n|---|\n| 1 |\n")
    assert ["| 2 |"] == stray_rows("| a |\n|---|\n| 1 |\n\n| 2 |\n")


def stray_rows(prose: str) -> list[str]:
    """First lines of what is written as a table and is shown as text: no line of dashes follows."""
    lines = prose.splitlines()
    begun = [
        at
        for at, line in enumerate(lines)
        if line.startswith("|") and not "".join(lines[at - 1 : at]).startswith("|")
    ]
    return [lines[at] for at in begun if not _DASHES.match("".join(lines[at + 1 : at + 2]))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_exist(page: Page):
    assert [] == [fault for shown in page.commands() if (fault := fault_of(shown))]


@pytest.mark.parametrize(
    "shown",
    ["counterfoil polish", "counterfoil views polish", "counterfoil up --polished", "counterfoil views"],
)
def test_a_command_that_does_not_exist_is_noticed(shown: str):
    assert fault_of(shown)


def fault_of(shown: str) -> str | None:
    """What is wrong with a command line, as far as names go: subcommands and options; arguments are free."""
    command: Any = whole_command()
    words = re.sub(r'"[^"]*"', "TEXT", shown.partition("  ")[0].partition("#")[0]).split()[1:]
    while hasattr(command, "commands"):  # a group
        if not words or words[0] not in command.commands:
            return f"{shown}: no such command"
        command = command.commands[words.pop(0)]
    options = {name for parameter in command.params for name in parameter.opts}
    unknown = [word for word in words if word.startswith("--") and word not in options and word != "--help"]
    return f"{shown}: no such option: {', '.join(unknown)}" if unknown else None


@functools.cache
def whole_command() -> Any:
    """`counterfoil` with all its subcommands: making them takes longer than all that is asked of them."""
    return typer.main.get_command(main.app)


def test_settings_that_are_named_exist_and_all_settings_are_documented():
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    named = {name for page in PAGES for name in _SETTING.findall(page.text)}
    (operations,) = [page for page in PAGES if page.name == "docs/operations.md"]

    assert set() == named - known
    assert set() == known - set(_SETTING.findall(operations.text))


def test_metrics_that_are_named_exist_and_all_metrics_are_documented():
    declared = {
        name
        for package in ("commands", "counterfoil", "event_store", "projections", "read_api", "runtime")
        for path in (ROOT / package).rglob("*.py")
        for name in _METRIC_DECLARED.findall(path.read_text())
    } - {*ROLES, *METADATA}
    named = {name for page in PAGES for name in _METRIC.findall(page.text)} - {*ROLES, *METADATA}
    (operations,) = [page for page in PAGES if page.name == "docs/operations.md"]

    assert set() == named - declared
    assert set() == declared - set(_METRIC.findall(operations.text))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_exist(page: Page):
    named = [
        found for text in page.code if not PLACEHOLDERS.search(text) and (found := _FILE.fullmatch(text))
    ]

    assert [] == [match.group() for match in named if not (ROOT / match.group()).exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_problems_that_are_named_exist(page: Page):
    named = {text for text in page.code if _KEBAB.fullmatch(text)} - NO_PROBLEMS - {*get_args(examining.Kind)}
    refusals = {each.code for family in (Unknown, Conflict, Unacceptable) for each in family.__subclasses__()}

    assert set() == named - {*CATALOGUE, *refusals, *(template.name for template in TEMPLATES)}


def test_the_page_of_the_apis_names_every_route_and_no_other():
    (page,) = [page for page in PAGES if page.name == "docs/http-api.md"]

    assert routes() == set(_ROUTE.findall(page.text))


def test_the_page_of_the_apis_says_what_each_status_of_a_problem_means():
    (page,) = [page for page in PAGES if page.name == "docs/http-api.md"]
    rows = re.findall(r"^\| ([0-9, ]+) \|", page.text, re.MULTILINE)

    assert {problem.status for problem in CATALOGUE.values()} == {
        int(status) for row in rows for status in row.split(", ")
    }


def test_the_page_of_the_apis_names_what_each_command_refuses():
    (page,) = [page for page in PAGES if page.name == "docs/http-api.md"]
    rows = [line.split(" | ") for line in page.text.splitlines() if line.startswith("| `POST /")]
    named = {row[0].strip("|` ").removeprefix("POST "): set(_CODE.findall(row[-1])) for row in rows}
    del named["/v1/commands"]

    assert refusals() == named


def refusals() -> dict[str, set[str]]:
    """What the routes document that they refuse, besides what any command may."""
    found: dict[str, set[str]] = {}
    for route in (route for router in CONTEXTS.commands for route in router.routes):
        assert isinstance(route, APIRoute)
        bodies = [
            content for each in route.responses.values() for content in each.get("content", {}).values()
        ]
        found[route.path] = {slug for body in bodies for slug in body.get("examples", ())} - {
            *ALWAYS,
            *EVERY_ROUTE,
        }
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_routes_that_are_named_exist(page: Page):
    known = patterns()
    named = _ROUTE.findall(page.text)

    assert [] == [(method, path) for method, path in named if not known.fullmatch(f"{method} {path}")]


@functools.cache
def patterns() -> re.Pattern[str]:
    """Method and path of every route, documented or not, whatever stands where a path has a parameter."""
    known = routes() | {(method, path) for method, path, _ in generated.routes()}
    return re.compile("|".join(re.sub(r"\{\w+\}", "[^/]+", f"{method} {path}/?") for method, path in known))


@functools.cache
def routes() -> frozenset[tuple[str, str]]:
    """Every documented route of both APIs; HEAD goes with GET."""
    return frozenset(
        (method.upper(), path)
        for api in generated.apis()
        for path, operations in api.openapi()["paths"].items()
        for method in operations
        if method != "head"
    )


def test_the_page_of_payments_names_every_method_that_its_simulator_knows():
    (page,) = [page for page in PAGES if page.name == "docs/contexts/payments.md"]
    simulators = (ROOT / "counterfoil" / "simulators").glob("*.py")
    known = {name for path in simulators for name in re.findall(r"\bpm_\w+", path.read_text())}

    assert set() == known - set(page.code)


def test_every_format_of_the_import_is_documented_and_the_header_it_needs():
    (page,) = [page for page in PAGES if page.name == "docs/importing.md"]
    needed = {*Format, *(",".join(form.columns) for form in Format)}

    assert set() == needed - set(page.code)


def decisions() -> list[Page]:
    return [page for page in PAGES if page.path.parent.name == "adr" and page.path.name != "index.md"]


@pytest.mark.parametrize("page", decisions(), ids=lambda page: page.path.stem)
def test_a_decision_has_its_five_parts(page: Page):
    assert list(ADR_PARTS) == re.findall(r"^## (.+)$", page.prose, re.MULTILINE)


def test_decisions_are_numbered_without_holes_and_listed_with_their_titles():
    index = (ROOT / "docs" / "adr" / "index.md").read_text()
    numbers = [int(page.path.name[:4]) for page in decisions()]
    titles = [page.text.partition("\n")[0].partition(". ")[2] for page in decisions()]

    assert list(range(1, len(numbers) + 1)) == numbers
    assert [] == [title for title in titles if f") {title}\n" not in index]
