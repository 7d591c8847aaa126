"""What must not stand in the project: traces of one machine, addresses of registries, tests that do not run."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.architecture.source import ROOT, Source

TEXT_BYTES_MAX: Final = 2_000_000
"""Larger files of the project are no texts."""

_TRACES: Final = (
    (re.compile(r"(?<![\w.~$}-])/(root|home/\w+|Users/\w+|mnt|workspace|work)/\w"), "a path of one machine"),
    (re.compile(r"--(extra-)?index-url|--trusted-host|--find-links"), "an address of a package index"),
    (re.compile(r"https?://[^\s\"'<>)]*(pypi|maven|npmjs|docker\.io|goproxy)", re.IGNORECASE), "a registry"),
    (
        re.compile(r"(?<![\d.])(10\.\d+|192\.168|172\.(1[6-9]|2\d|3[01]))\.\d+\.\d+(?![\d.])"),
        "a private address",
    ),
)
_MARKS: Final = re.compile(r"^(<{7} |>{7} |={7}$)|\b(TODO|FIXME)\b", re.MULTILINE)

_NOT_RUN: Final = frozenset(
    {"skip", "skipif", "xfail", "importorskip", "skipUnless", "skipIf", "expectedFailure"}
)


def traces(path: Path) -> Iterator[str]:
    """Traces of the machine that a file was written on."""
    text = text_of(path)
    for number, line in enumerate(text.splitlines(), start=1):
        for trace, meaning in _TRACES:
            if found := trace.search(line):
                yield f"{path.name}:{number}: {meaning}: {found.group()}"
        if str(ROOT) in line:
            yield f"{path.name}:{number}: the folder of this checkout"


def unfinished(path: Path) -> Iterator[str]:
    """Marks that somebody wanted to come back."""
    for found in _MARKS.finditer(text_of(path)):
        yield f"{path.name}: {found.group()}"


def text_of(path: Path) -> str:
    """What a file says, empty if it is no text."""
    if path.stat().st_size > TEXT_BYTES_MAX:
        return ""
    try:
        return path.read_text()
    except UnicodeDecodeError:
        return ""


def tests_not_run(source: Source) -> Iterator[str]:
    """A test runs, or it does not exist."""
    for node in source.nodes:
        match node:
            case ast.Attribute(attr="skipTest"):
                yield source.at(node, f"{ast.unparse(node)}: a test that may not run")
            case ast.Attribute(attr=attr, value=module) if attr in _NOT_RUN and "test" in ast.unparse(module):
                yield source.at(node, f"{ast.unparse(node)}: a test that may not run")
            case ast.ImportFrom(module="pytest"):
                yield source.at(node, "import pytest whole, so that its marks can be seen")


def own_code_mocked(source: Source) -> Iterator[str]:
    """Effects are replaced at the edge, never by patching our own code."""
    for node in source.nodes:
        match node:
            case ast.ImportFrom(module="unittest.mock"):
                yield source.at(node, "unittest.mock")
            case ast.ImportFrom(module="unittest", names=names) if any(each.name == "mock" for each in names):
                yield source.at(node, "unittest.mock")
            case ast.Import(names=names) if any(each.name == "unittest.mock" for each in names):
                yield source.at(node, "unittest.mock")
            case ast.arg(arg="mocker"):
                yield source.at(node, "mocker")
