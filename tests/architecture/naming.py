"""Rules about names, docstrings and sizes."""

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import PurePath
from typing import Final

from tests.architecture.source import Source

BANNED: Final = frozenset(
    [
        "base",
        "common",
        "core",
        "data",
        "engine",
        "helper",
        "helpers",
        "info",
        "manager",
        "misc",
        "processor",
        "service",
        "util",
        "utils",
    ]
)
"""Words that say nothing about what is inside."""

TERMS: Final = re.compile(r"personal_?data", re.IGNORECASE)
"""What the law calls so, and nobody would find under another name."""

CONTEXTS: Final = frozenset(
    [
        "cart",
        "catalogue",
        "customers",
        "identity",
        "inventory",
        "mail",
        "operations",
        "ordering",
        "payments",
        "pricing",
        "security",
        "shipping",
    ]
)
"""A context has one name in every package (ADR 0025)."""

REPEATED: Final = {
    "accounts": "accounts of identity, and the command line's way to them",
    "answers": "of two APIs",
    "app": "of two APIs",
    "builds": "of a view: the events about them, and their tables",
    "carrier": "the gateway, and the simulator it calls",
    "certifying": "the command line, and the proof it writes",
    "checkpoints": "of builds: as workers move them, and as the query API reads them",
    "consumers": "of views, and their tests for contexts from outside",
    "documentation": "of two APIs in OpenAPI",
    "documents": "the document cache, and reading through it",
    "errors": "the family of each package",
    "events": "of a context, and the routes that show events",
    "external": "an external identity, and logging in with it",
    "folds": "of a context's views",
    "labels": "of shipments: the process that asks for them, and the intent of the gateway",
    "ledger": "of seals, and of payments",
    "limits": "of a package",
    "metrics": "of a package",
    "moving": "of an application's history: the command line, and what it runs",
    "parking": "of keys: the command line, and what it runs",
    "pausing": "of consumers: the command line, and what it asks for",
    "reacting": "which consumers react to an event: process managers, gateways",
    "recording": "of decisions: under a caller's key, and without one",
    "refusals": "how HTTP answers them, and those of payments",
    "routing": "how routes of an API are declared: commands, accounts, queries",
    "settling": "of a command: what it means, and waiting for it",
    "skips": "of events: the stream they are in, and its reader",
    "status": "of the installation: on the command line, and in the query API",
    "store_credit": "decisions about it, and its commands",
    "tailing": "of the log in order: by a consumer, a global view, an application",
    "timers": "of process managers, and how many are overdue",
    "trail": "of security: its events, and what an API process counts for it",
    "views": "of a context",
    "webhooks": "of a payment provider: taken in, and sent by the simulated one",
}
"""Names of several modules of the product, with what they share. A name that needs two reasons is two names."""

MODULE_LINES_MAX: Final = 500
FUNCTION_LINES_MAX: Final = 70

_WORD_OF_CLASS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def banned_names(source: Source) -> Iterator[str]:
    """Modules, folders and classes are named after what they are about."""
    for part in PurePath(source.path).with_suffix("").parts:
        for word in BANNED.intersection(TERMS.sub("", part).lower().split("_")):
            yield f"{source.path}: the name of a module says `{word}`"
    for node in source.nodes:
        if isinstance(node, ast.ClassDef):
            words = {word.lower() for word in _WORD_OF_CLASS.findall(TERMS.sub("", node.name))}
            for word in BANNED & words:
                yield source.at(node, f"the name of class {node.name} says `{word}`")


def filled_packages(source: Source) -> Iterator[str]:
    """`__init__.py` is empty: nothing is exported a second time, nothing happens on import."""
    if source.path.endswith("__init__.py") and source.text:
        yield f"{source.path}: must be empty"


def repeated_modules(sources: Iterable[Source]) -> dict[str, list[str]]:
    """Names that several modules have, with the modules; a subcommand is named after what it commands."""
    found: dict[str, list[str]] = {}
    for source in sources:
        path = PurePath(source.path)
        if not path.stem.startswith("__") and path.stem not in CONTEXTS and path.parent.name != "cli":
            found.setdefault(path.stem, []).append(source.path)
    return {name: paths for name, paths in found.items() if len(paths) > 1}


def long_code(source: Source) -> Iterator[str]:
    """Modules and functions that nobody can keep in mind."""
    lines = source.text.count("\n")
    if lines > MODULE_LINES_MAX:
        yield f"{source.path}: {lines} lines, at most {MODULE_LINES_MAX}"
    for node in source.nodes:
        if isinstance(node, Function):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES_MAX:
                yield source.at(node, f"{node.name} has {length} lines, at most {FUNCTION_LINES_MAX}")


def missing_docstrings(source: Source) -> Iterator[str]:
    """Modules, public classes, public functions and public methods say what they are for."""
    if source.text and not ast.get_docstring(source.tree):
        yield f"{source.path}: the module has no docstring"
    yield from _undocumented(source, source.tree, implements=frozenset())


def _undocumented(
    source: Source, parent: ast.Module | ast.ClassDef, *, implements: frozenset[str]
) -> Iterator[str]:
    for node in parent.body:
        if not isinstance(node, ast.ClassDef | Function) or node.name.startswith("_"):
            continue
        if node.name in implements or _says_so_elsewhere(node):
            continue
        if not ast.get_docstring(node):
            yield source.at(node, f"{node.name} has no docstring")
        if isinstance(node, ast.ClassDef):
            yield from _undocumented(source, node, implements=_inherited(node))


def _says_so_elsewhere(node: ast.AST) -> bool:
    """Overloads and setters repeat what another definition documents."""
    decorators = getattr(node, "decorator_list", [])
    return any(
        ast.unparse(decorator).rpartition(".")[2] in {"overload", "setter"} for decorator in decorators
    )


def _inherited(node: ast.ClassDef) -> frozenset[str]:
    """Methods whose meaning the standard library or a library documents."""
    by_base = {
        "ast.NodeVisitor": {"visit"},
        "BaseHTTPRequestHandler": {"do_GET", "log_message"},
        "APIRoute": {"get_route_handler"},
        "Enum": set(),
    }
    bases = {ast.unparse(base) for base in node.bases}
    return frozenset().union(*(names for base, names in by_base.items() if base in bases))
