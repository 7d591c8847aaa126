"""Words that the field does not use for what they are used for here; what to say instead stands beside each."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.architecture.source import ROOT, Source

INSTEAD: Final = {
    **dict.fromkeys(("hope", "hoped", "believed"), "speculative, final, trusted"),
    "intake": "dispatcher, trigger consumer",
    **dict.fromkeys(("look", "looks", "looked", "watch", "watching"), "snapshot, poller, check"),
    **dict.fromkeys(("standing", "standings"), "state, checkpoints, cursor, progress"),
    **dict.fromkeys(("turn", "turns"), "in-flight batch, projection step, stream lock"),
    **dict.fromkeys(("edge", "front", "shortcut", "direct", "dressed"), "pipeline, protocol, command line"),
    "door": "eventsourcing adapter",
    **dict.fromkeys(("burn", "burns"), "fault injection, chaos"),
    "beside": "overlapping, in flight",
    **dict.fromkeys(("told", "tell", "telling"), "user message"),
}
"""Word: the field's."""

IN_FILE_NAMES: Final = {**INSTEAD, "fire": "chaos"}
"""A timer fires; a folder of fault injection is called chaos."""

IN_PROSE: Final = re.compile(
    r"(?<![`\w/-])(hoped?|believed|dressed|intake|beside|standings?|facts? in the log|front door|a person)(?![`\w/-])",
    re.IGNORECASE,
)

PUBLISHED: Final = frozenset({"ViewStanding", "RelayStanding", "ProcessStanding", "ConsumerStanding"})
"""Schemas of the published contract of the query API (docs/openapi): a generated client has classes of these names."""

_WORD: Final = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+")


def identifiers(source: Source) -> Iterator[str]:
    """Names of classes, functions, arguments, attributes and variables that say such a word."""
    for node in source.nodes:
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                pass
            case (
                ast.arg(arg=name)
                | ast.Name(id=name, ctx=ast.Store())
                | ast.Attribute(attr=name, ctx=ast.Store())
            ):
                pass
            case _:
                continue
        if name not in PUBLISHED and (word := _unknown(name, INSTEAD)):
            yield source.at(node, f"{name}: {word} is {INSTEAD[word]}")


def file_name(path: Path) -> str | None:
    """The word in the path of a file, if there is one."""
    return _unknown(str(path.relative_to(ROOT)), IN_FILE_NAMES)


def metric(name: str) -> str | None:
    """The word in the name of a metric, if there is one."""
    return _unknown(name, IN_FILE_NAMES)


def prose(text: str) -> Iterator[str]:
    """Such words in a page."""
    for number, line in enumerate(text.splitlines(), start=1):
        for found in IN_PROSE.finditer(line):
            yield f"{number}: {found.group()}"


def _unknown(name: str, words: dict[str, str]) -> str | None:
    return next((part for each in _WORD.findall(name) if (part := each.lower()) in words), None)
