"""The parts of pages that follow from the declarations: `python -m tests.documentation.generated` writes them anew."""

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import CodeType, FunctionType, ModuleType
from typing import Any, Final, get_args

from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import SecretStr

from commands.processes.process import Process
from counterfoil.applications import command_app, query_app
from counterfoil.contexts import CONTEXTS
from domain import event as domain_event
from domain.event import Event
from domain.text import PersonalKind
from read_api.masks import mask
from runtime.http import api_version
from runtime.http.access import PERMISSIONS, SIGHTS, verdict
from runtime.http.application import PipelineApp
from runtime.http.principal import Browsable, Known, Public, Requirement, permission_of
from runtime.settings import Settings
from tests.architecture import fields
from tests.documentation.pages import ROOT

PAGE: Final = ROOT / "docs" / "architecture.md"
ACCESS: Final = ROOT / "docs" / "access.md"
SECURITY: Final = ROOT / "docs" / "security.md"
NOWHERE: Final = Settings(database_url=SecretStr("postgresql://nobody@127.0.0.1:1/none"))
_VERDICTS: Final = {"all": "all", "own": "own", "none": "-"}
_EXAMPLES: Final = {"name": "Jane Doe", "email": "jane@example.com"}
_MASKED: Final = {kind: mask(kind, _EXAMPLES.get(kind, "any")) for kind in get_args(PersonalKind)}
_BLOCK: Final = "<!-- generated: {name} -->\n{text}\n<!-- end of {name} -->"


@functools.cache
def apis() -> tuple[PipelineApp, PipelineApp]:
    """Both APIs, made once: each has some hundred routes."""
    return command_app(NOWHERE, contexts=CONTEXTS), query_app(NOWHERE, contexts=CONTEXTS)


def picture() -> str:
    """The components of every context, and what flows between them, as a diagram."""
    return "\n".join(["```mermaid", "flowchart LR", *_nodes(), *sorted(set(_flows())), "```"])


def operations() -> str:
    """Every route, and what follows from the events that it records; every timer."""
    rows = [
        *(
            _row(f"`{method} {path}`", "synchronous", _what_follows(endpoint))
            for method, path, endpoint in routes()
        ),
        *(
            _row(f"timer `{timer.name}`", f"scheduled, by `{process.name}`", "")
            for process in CONTEXTS.processes
            for timer in process.timers.values()
        ),
        *(
            _row(f"`{effect.intent.__name__}`", f"asynchronous, by the sender of `{gateway.name}`", "")
            for gateway in CONTEXTS.gateways
            for effect in gateway.effects
        ),
    ]
    return "\n".join(["| operation | answered | what follows, asynchronously |", "|---|---|---|", *rows])


def required() -> Iterator[tuple[str, str, Requirement]]:
    """Method, path and requirement of every route of both APIs, as their routers have them; HEAD goes with GET."""
    for app in apis():
        for method, route in app.pipeline.table:
            if method != "HEAD":
                yield method, route.path, route.requires


def verdicts() -> str:
    """What each role may do, route by route."""
    rows = {
        (path, method): _row(
            f"`{method} {path}`",
            f"`{permission_of(requirement)}`",
            *(_VERDICTS[verdict(role, requirement)] for role in PERMISSIONS),
        )
        for method, path, requirement in required()
        if not isinstance(requirement, Public | Known)
    }
    heading = _row("route", "requires", *PERMISSIONS)
    return "\n".join(
        [heading, "|---" * (2 + len(PERMISSIONS)) + "|", *(row for _, row in sorted(rows.items()))]
    )


def revealed() -> str:
    """How much of each kind of personal data each role is shown, and the fields of the views that are of that kind."""
    found = {
        kind: [
            f"`{view.name}.{'.'.join(each.path)}`"
            for view in CONTEXTS.views
            for each in view.personal
            if each.personal.kind == kind
        ]
        for kind in get_args(PersonalKind)
    }
    rows = [
        _row(kind, _MASKED[kind], *SIGHTS.values(), ", ".join(fields) or "none yet")
        for kind, fields in found.items()
    ]
    heading = _row("kind", "mask", *SIGHTS, "fields")
    return "\n".join([heading, "|---" * (3 + len(SIGHTS)) + "|", *rows])


def personal_data() -> str:
    """Every personal field of an event: what it is for, and how long it is kept."""
    rows = [
        _row(f"`{type_name}`", f"`{field}`", each.purpose, each.kept)
        for type_name, event in sorted(domain_event.EVENT_TYPES.items())
        if event.__module__.startswith("domain.")
        for field, each in fields.personal_fields(event)
    ]
    none = _row("none yet", "", "", "")
    return "\n".join([_row("event", "field", "for", "kept"), "|---|---|---|---|", *(rows or [none])])


def typed_text() -> str:
    """Every text of an event that people type and that is not sealed, with the reason."""
    rows = [
        _row(f"`{type_name}`", f"`{field}`", each.reason)
        for type_name, event in sorted(domain_event.EVENT_TYPES.items())
        if event.__module__.startswith("domain.")
        for field, each in fields.public_fields(event)
        if each.typed
    ]
    return "\n".join([_row("event", "field", "what it is"), "|---|---|---|", *rows])


def without_permission() -> str:
    """The routes that require no permission, and why."""
    found = {
        (path, method): _row(
            f"`{path}`",
            method,
            _for(requirement),
            requirement.reason,
        )
        for method, path, requirement in required()
        if isinstance(requirement, Public | Known | Browsable) and not path.startswith("/docs/")
    }
    return "\n".join(
        [
            "| route | method | for | because |",
            "|---|---|---|---|",
            *(row for _, row in sorted(found.items())),
        ]
    )


def _for(requirement: Public | Known | Browsable) -> str:
    if isinstance(requirement, Browsable):
        return "callers without a token, too"
    if isinstance(requirement, Public):
        return "everybody"
    return "known callers" if requirement.only is None else f"callers known by an {requirement.only}"


def with_generated_parts(text: str) -> str:
    """The page with its generated parts as they follow from the declarations now."""
    for name in re.findall(r"^<!-- generated: (.+) -->$", text, re.MULTILINE):
        part = PARTS[name]
        block = _BLOCK.format(name=name, text=part())
        pattern = re.escape(_BLOCK.format(name=name, text="\0")).replace(re.escape("\0"), ".*?")
        text = re.sub(pattern, lambda _found, block=block: block, text, flags=re.DOTALL)
    return text


def _nodes() -> Iterator[str]:
    for context in CONTEXTS:
        parts = [
            *(f"    {aggregate.category}[({aggregate.category})]" for aggregate in context.aggregates),
            *(f"    {_process(process)}{{{{{process.name}}}}}" for process in context.processes),
            *(f"    view_{view.name}[/{view.name}/]" for view in context.views),
            *(f"    gateway_{gateway.name}([{gateway.name}])" for gateway in context.gateways),
        ]
        if parts:
            yield from (f"  subgraph {context.name}", *parts, "  end")


def _flows() -> Iterator[str]:
    recorded_in = {
        event: aggregate.category for aggregate in CONTEXTS.aggregates for event in aggregate.events
    }
    for context in CONTEXTS:
        for view in context.views:
            for event in view.folds:
                yield f"  {recorded_in[event]} --> view_{view.name}"
        for process in context.processes:
            for event, category in recorded_in.items():
                if process.reactions.keys() & set(domain_event.type_names_of(event)):
                    yield f"  {category} --> {_process(process)}"
            yield from (f"  {_process(process)} --> {category}" for category in process.categories)
        for gateway in context.gateways:
            for effect in gateway.effects:
                yield f"  {recorded_in[effect.intent]} <--> gateway_{gateway.name}"


def _process(process: Process) -> str:
    return f"process_{process.name}"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def routes() -> Iterator[tuple[str, str, Any]]:
    """Method, path and endpoint of every route of both APIs, also of those that browsers are sent to."""
    for app in apis():
        yield from _routes_of(app)


def _routes_of(app: FastAPI) -> Iterator[tuple[str, str, Any]]:
    for route in app.routes:
        if isinstance(route, APIRoute) and route.path.startswith(api_version.PREFIX):
            for method in sorted(route.methods):
                yield method, route.path, route.endpoint


def _what_follows(endpoint: Any) -> str:
    """The process managers that react to what an endpoint may record, each with the events."""
    recorded = {name: event for event in _recorded_by(endpoint) for name in domain_event.type_names_of(event)}
    triggers = {
        process.name: sorted({recorded[name].__name__ for name in process.reactions.keys() & recorded.keys()})
        for process in CONTEXTS.processes
    }
    return "; ".join(
        f"`{process}` ({', '.join(f'`{event}`' for event in events)})"
        for process, events in triggers.items()
        if events
    )


def _recorded_by(endpoint: Any) -> Iterable[type[Event]]:
    """The events that a function names, or a function of the domain that it calls: what it may record."""
    declared = set(domain_event.EVENT_TYPES.values())
    found: dict[type[Event], None] = {}
    seen: set[FunctionType] = set()
    todo = [endpoint]
    while todo:
        function = todo.pop()
        if not isinstance(function, FunctionType) or function in seen:
            continue
        seen.add(function)
        for value in _named(function.__code__, function.__globals__):
            if isinstance(value, type) and value in declared:
                found[value] = None
            elif isinstance(value, FunctionType) and value.__module__.startswith(
                ("domain.", endpoint.__module__)
            ):
                todo.append(value)
    return found


def _named(code: CodeType, names: dict[str, Any]) -> Iterator[Any]:
    for name in code.co_names:
        value = names.get(name)
        yield value
        if isinstance(value, ModuleType):
            yield from (getattr(value, member, None) for member in code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _named(constant, names)


PARTS: Final[Mapping[str, Callable[[], str]]] = {
    "components": picture,
    "operations": operations,
    "verdicts": verdicts,
    "without-permission": without_permission,
    "revealed": revealed,
    "personal-data": personal_data,
    "typed-text": typed_text,
}
"""What the parts are made by, by the names that stand around them in the pages."""


if __name__ == "__main__":
    for page in (PAGE, ACCESS, SECURITY):
        page.write_text(with_generated_parts(page.read_text()))
