"""What belongs to a context, and whether all of it is there: rules over what is declared and what its modules hold.

Every rule names what is missing and where it has to be added, one line each. `RULES` is all of them.
"""

import importlib
import pkgutil
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Final, TypeVar

import msgspec
from fastapi.routing import APIRoute
from msgspec import Struct

import commands.gateways
import commands.processes
import domain
import projections
from commands.dispatcher import Command
from commands.gateways.gateway import Gateway
from commands.identity import account_routes, client_routes
from commands.processes.process import Process
from counterfoil.context import Context, Contexts
from counterfoil.contexts import CONTEXTS
from domain.aggregate import Aggregate
from domain.event import EVENT_TYPES, Event, type_name, unversioned
from projections.view import View
from read_api.reading.resource import Resource
from runtime.problem_types import CATALOGUE
from tests.architecture.source import ROOT
from tests.examples import ONE_OF_EACH

PACKAGES: Final = ("domain", "commands", "projections", "read_api")
"""Where a context has modules under its name."""

SHOWN: Final = "views"
"""The one module of a context's projections that the query API may know."""

T = TypeVar("T")


class Project(Struct, frozen=True, kw_only=True):
    """What the rules are asked about: the declarations, the pages by name, and the contracts of imports."""

    contexts: Contexts
    pages: Mapping[str, str]
    contracts: Sequence[Mapping[str, Any]]


Rule = Callable[[Project], Iterator[str]]


def this_project() -> Project:
    """The project as it is."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    docs = ROOT / "docs"
    paths = (docs / "index.md", *(docs / "contexts").glob("*.md"), *(docs / "contracts").glob("*.md"))
    return Project(
        contexts=CONTEXTS,
        pages={str(path.relative_to(docs)): path.read_text(encoding="utf-8") for path in paths},
        contracts=settings["tool"]["importlinter"]["contracts"],
    )


def undeclared_contexts(project: Project) -> Iterator[str]:
    """A package of the domain or of the projections belongs to a context of the list."""
    declared = {context.name for context in project.contexts}
    for parent in (domain, projections):
        for module in pkgutil.iter_modules(parent.__path__):
            if module.ispkg and module.name not in declared:
                yield f"{parent.__name__}/{module.name}: no context of this name in counterfoil/contexts.py"


def undeclared_aggregates(project: Project) -> Iterator[str]:
    """Every aggregate is declared, so that it can be replayed and addressed."""
    for context in project.contexts:
        for aggregate in _held("domain", context, Aggregate):
            if aggregate not in context.aggregates:
                yield f"{context.name}: the aggregate {aggregate.category!r} is not declared"


def undeclared_events(project: Project) -> Iterator[str]:
    """Every event belongs to an aggregate."""
    for context in project.contexts:
        list(_modules("domain", context))  # so that its events are loaded
        for event in _newest_shapes():
            if event.__module__.startswith(f"domain.{context.name}.") and event not in context.events:
                yield f"{context.name}: no aggregate declares that it records {type_name(event)}"


def events_without_state(project: Project) -> Iterator[str]:
    """Every event that an aggregate records leads to a state, which a replay can show."""
    for aggregate in project.contexts.aggregates:
        state: Any = None
        examples = [event for event in ONE_OF_EACH if type(event) in aggregate.events]
        for event in aggregate.events:
            if event not in map(type, examples):
                yield f"{aggregate.category}: {type_name(event)} has no example in tests/examples.py"
        for example in examples:
            try:
                state = aggregate.evolve(state, example)
                msgspec.to_builtins(state)
            except (AssertionError, TypeError) as error:
                yield f"{aggregate.category}: {type_name(example)} leads to no state: {error}"
        if state is None:
            yield f"{aggregate.category}: its events lead to no state"


def events_without_fold(project: Project) -> Iterator[str]:
    """Every event is in some view, or there is a reason why not."""
    # Timers show nothing to anybody.
    folded = {event for context in project.contexts for view in context.views for event in view.folds}
    for context in project.contexts:
        for event in context.events:
            if event not in folded and not context.unshown.get(event):
                yield f"{context.name}: {type_name(event)} has no fold, and no reason in `unshown`"


def aggregates_without_location(project: Project) -> Iterator[str]:
    """Every aggregate is shown by id, or there is a reason why not."""
    for context in project.contexts:
        for aggregate in context.aggregates:
            if aggregate.category not in project.contexts.locations and not context.unshown.get(aggregate):
                yield f"{context.name}: no query shows {aggregate.category!r} by id, and no reason in `unshown`"


def unserved_commands(project: Project) -> Iterator[str]:
    """Every command that is written is served."""
    for context in project.contexts:
        for module in _modules("commands", context):
            if context.served_commands is not getattr(module, "router", context.served_commands):
                yield f"{context.name}: the commands of {module.__name__} are not served"


def commands_without_example(project: Project) -> Iterator[str]:
    """Every command shows a body that it accepts, and says in a sentence what it does."""
    for route in _routes(project):
        command = Command.of(route.endpoint)
        if "example" not in command.payload.model_json_schema():
            yield f"{command.name}: {command.payload.__name__} has no example"
        if not route.description:
            yield f"{command.name}: nothing says what it does"


def refusals_without_page(project: Project) -> Iterator[str]:
    """Every refusal that a command documents is one that is declared, and so has a page."""
    known = {*CATALOGUE, *(problem.slug for problem in project.contexts.problems)}
    for route in _routes(project):
        for slug in _slugs(route):
            if slug not in known:
                yield f"{route.path}: the refusal {slug} is declared by no context"


def _slugs(route: APIRoute) -> Iterator[str]:
    """The problems that a route documents."""
    for response in route.responses.values():
        for content in response.get("content", {}).values():
            yield from content.get("examples", {})


def unanswered_refusals(project: Project) -> Iterator[str]:
    """Every refusal that a context declares is one that a route documents, so that HTTP can answer it."""
    received = (receiver.routes for receiver in project.contexts.receivers)
    routers = (client_routes.ROUTES, account_routes.ROUTES, *received)
    with_secrets = [each for router in routers for each in router.routes if isinstance(each, APIRoute)]
    documented = {slug for route in (*_routes(project), *with_secrets) for slug in _slugs(route)}
    for context in project.contexts:
        for refusal in context.problems:
            if refusal.code not in documented:
                yield f"{context.name}: no command documents that it refuses {refusal.code}"


def undeclared_processes(project: Project) -> Iterator[str]:
    """Every process manager that is written runs."""
    for module in pkgutil.walk_packages(commands.processes.__path__, "commands.processes."):
        for process in _instances(importlib.import_module(module.name), Process):
            if process not in project.contexts.processes:
                yield f"{module.name}: no context declares the process {process.name!r}"


def undeclared_gateways(project: Project) -> Iterator[str]:
    """Every gateway that is written is one that intents are sent to, and its intents are events of its aggregates."""
    for module in pkgutil.walk_packages(commands.gateways.__path__, "commands.gateways."):
        for gateway in _instances(importlib.import_module(module.name), Gateway):
            if gateway not in project.contexts.gateways:
                yield f"{module.name}: no context declares the gateway {gateway.name!r}"
    for context in project.contexts:
        for effect in (effect for gateway in context.gateways for effect in gateway.effects):
            if effect.aggregate not in context.aggregates or effect.intent not in effect.aggregate.events:
                yield f"{context.name}: {type_name(effect.intent)} is no event of its aggregates"


def gateways_without_contract(project: Project) -> Iterator[str]:
    """Every gateway has a page that says what is spoken there, and the page of its context leads to it."""
    for context in project.contexts:
        for gateway in context.gateways:
            page = f"contracts/{gateway.name}.md"
            if page not in project.pages:
                yield f"docs/{page}: nothing says what is spoken with {gateway.name!r}"
            if f"(../{page})" not in project.pages.get(f"contexts/{context.name}.md", ""):
                yield f"docs/contexts/{context.name}.md: no link to {page}"


def undeclared_views(project: Project) -> Iterator[str]:
    """Every view that is written is kept."""
    for context in project.contexts:
        for view in _held("projections", context, View):
            if view not in context.views:
                yield f"{context.name}: the view {view.name!r} is not declared"


def unserved_queries(project: Project) -> Iterator[str]:
    """Every question that is written can be asked."""
    for context in project.contexts:
        for module in _modules("read_api", context):
            if context.served_queries is not getattr(module, "QUERIES", context.served_queries):
                yield f"{context.name}: the queries of {module.__name__} are not served"
        served = [each.resource for each in queries.by_id] if (queries := context.served_queries) else []
        for resource in _held("read_api", context, Resource):
            if resource not in served:
                yield f"{context.name}: the {resource.noun} is not served by id"


def foreign_tags(project: Project) -> Iterator[str]:
    """The routes of a context stand under its name in the OpenAPI documents."""
    for context in project.contexts:
        queries = context.served_queries
        for router in (context.served_commands, queries and queries.router):
            if router is not None and router.tags != [context.name]:
                yield f"{context.name}: its routes have the tags {router.tags}"


def undocumented_contexts(project: Project) -> Iterator[str]:
    """Every context has a page that the index names, and every aggregate is on it."""
    for context in project.contexts:
        page = f"contexts/{context.name}.md"
        if f"({page})" not in project.pages["index.md"]:
            yield f"docs/index.md: no link to {page}"
        for aggregate in context.aggregates:
            if f"`{aggregate.category}-<" not in project.pages.get(page, ""):
                yield f"docs/{page}: the streams of {aggregate.category!r} are not on it"


def unguarded_imports(project: Project) -> Iterator[str]:
    """Every module of a context is in the contract that keeps contexts apart, its folds in that of the query API."""
    guarded = {m for c in project.contracts if c["type"] == "independence" for m in c["modules"]}
    forbidden = [m for c in project.contracts if c["type"] == "forbidden" for m in c["forbidden_modules"]]
    for context in project.contexts:
        for package in PACKAGES:
            name = f"{package}.{context.name}"
            if _exists(name) and name not in guarded:
                yield f"pyproject.toml: {name} is in no contract of independence"
        for module in _modules("projections", context):
            hidden = any(re.fullmatch(each.replace("*", r"\w+"), module.__name__) for each in forbidden)
            if not hidden and module.__name__.rpartition(".")[2] not in {SHOWN, context.name}:
                yield f"pyproject.toml: the query API may import {module.__name__}"


RULES: Final[tuple[Rule, ...]] = (
    undeclared_contexts,
    undeclared_aggregates,
    undeclared_events,
    events_without_state,
    events_without_fold,
    aggregates_without_location,
    unserved_commands,
    commands_without_example,
    refusals_without_page,
    unanswered_refusals,
    undeclared_processes,
    undeclared_gateways,
    gateways_without_contract,
    undeclared_views,
    unserved_queries,
    foreign_tags,
    undocumented_contexts,
    unguarded_imports,
)


def missing(project: Project) -> list[str]:
    """Everything that is missing."""
    return [finding for rule in RULES for finding in rule(project)]


def _newest_shapes() -> list[type[Event]]:
    """Every event, without the versions that are read as later ones."""
    ours = [name for name in EVENT_TYPES if unversioned(name) != name]
    ours.sort(key=lambda name: int(name.rpartition(".v")[2]))
    return list({unversioned(name): EVENT_TYPES[name] for name in ours}.values())


def _routes(project: Project) -> Iterator[APIRoute]:
    for router in project.contexts.commands:
        for route in router.routes:
            assert isinstance(route, APIRoute)
            yield route


def _held(package: str, context: Context, kind: type[T]) -> list[T]:
    """The objects of a kind that the modules of a context hold, each once."""
    found = (each for module in _modules(package, context) for each in _instances(module, kind))
    return list({id(each): each for each in found}.values())


def _instances(module: ModuleType, kind: type[T]) -> Iterator[T]:
    return (each for each in vars(module).values() if isinstance(each, kind))


def _modules(package: str, context: Context) -> Iterator[Any]:
    """The modules of a context in a package: one file, or all of a folder."""
    name = f"{package}.{context.name}"
    if not _exists(name):
        return
    module = importlib.import_module(name)
    yield module
    for each in pkgutil.walk_packages(getattr(module, "__path__", []), f"{name}."):
        yield importlib.import_module(each.name)


def _exists(name: str) -> bool:
    path = Path(ROOT, *name.split("."))
    return path.is_dir() or path.with_suffix(".py").exists()
