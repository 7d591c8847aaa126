"""Words that the field does not use for what they are used for here; what to say instead stands beside each."""

import ast
import functools
import io
import re
import tokenize
from collections.abc import Iterator, Sequence
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
    "fact": "event",
    "door": "eventsourcing adapter",
    **dict.fromkeys(("burn", "burns"), "fault injection, chaos"),
    "beside": "overlapping, in flight",
    **dict.fromkeys(("told", "tell", "telling"), "user message"),
}
"""Word: the field's."""

IN_FILE_NAMES: Final = {**INSTEAD, "fire": "chaos"}
"""A timer fires; a folder of fault injection is called chaos."""

OF_THE_FIELD: Final = {
    "append condition": "dynamic consistency boundary",
    "carrier": "transport of a generation",
    "context": "bounded context",
    "decision": "decider",
    "fold": "projection function",
    "global view": "multi-stream projection",
    "hint": "notification",
    "keyed view": "single-key projection",
    "log": "event store",
    "mirror checkpoint": "cache checkpoint",
    "outcome": "idempotency record",
    "parked key": "dead letter",
    "position token": "consistency token",
    "refusal": "rejection",
    "relay": "publisher",
    "shape": "schema version",
    "tail": "catch-up subscription",
    "view": "read model",
}
"""Terms of the product, with the field's: an entry of the glossary begins with the latter."""

NO_TERMS: Final = frozenset({*IN_FILE_NAMES, "code", "page", "person"})
"""Words that no entry of the glossary begins with, nor has as its name."""

IN_PROSE: Final = re.compile(
    r"(?<![`\w/-])(hoped?|believe[ds]?|dressed|intake|beside|standings?|facts?|front door|told|telling|whoever"
    r"|stands twice|a person)(?![`\w/-])",
    re.IGNORECASE,
)

IN_COMMENTS: Final = re.compile(
    r"(?<![`\w/-])(hoped?|believe[ds]?|dressed|intake|beside|standings?|front door|told|telling|whoever"
    r"|stands twice|a person)(?![`\w/-])",
    re.IGNORECASE,
)
"""As in pages, but for facts: a refusal has facts as attributes."""

PUBLISHED: Final = frozenset({"ViewStanding", "RelayStanding", "ProcessStanding", "ConsumerStanding"})
"""Schemas of the published contract of the query API (docs/openapi): a generated client has classes of these names."""

REPEATED: Final = {
    "Accepted": "an accepted command: its answer to callers, the log's verdict",
    "Acts": "of operators: as the log counts them, and as a worker carries them out",
    "AuthorisationExpired": "the event of a payment, and the refusal of a capture after it",
    "Batch": "several at once: commands of one request, records of one fetch",
    "Build": "of a view: as an operator's act names it, and as its row has it",
    "Command": "a command as it is sent, by a caller and by the importer",
    "CreditNote": "of the shop, and of a retailer's file",
    "DocumentsUnavailable": "the document cache does not answer; a package has a family of errors of its own",
    "Event": "as it is declared, and as an answer shows it",
    "Finding": "of an audit that reads the log, and of one that reads a bundle without the product",
    "Findings": "of an audit, in order, with a limit: of the log, and of a bundle without the product",
    "Load": "the effect that asks for states, of two step functions",
    "Move": "of a checkpoint, in SQL and in Redis",
    "NotConfirmed": "asked, and not said yes to",
    "Order": "of the shop, and of a retailer's file",
    "Outcome": "what the log keeps under a key, for the reader, the audit and the bundle",
    "Page": "of the log, and of a list",
    "ParkedKey": "a key that a consumer has parked: with its events, and as a certificate names it",
    "Plan": "what a step is going to write, and what an import is going to send",
    "PriceChanged": "the catalogue's event, and the refusal of a cart in which a price is lower",
    "Product": "of the shop, and of a retailer's file",
    "Progress": "how far a long run is",
    "Published": "how far the relay of a generation published",
    "RawResponse": "a response whose headers are written already",
    "Reaction": "what a consumer made of an event, stored and shown",
    "Reader": "reads one value from text",
    "Record": "of a partition, and of a CSV file",
    "Recorded": "an event as it stands in the log",
    "Refusal": "what is refused, before it is a problem or a line of a report",
    "Refused": "what is refused, in the family of errors of its package",
    "Request": "what somebody asks for: an operator for a parked key, a log of a witness",
    "RoleRefused": "the session cannot take its role; the log's connection has an error that is retried otherwise",
    "Server": "a program that listens",
    "Status": "of an aggregate, and of the installation",
    "Table": "of a build: its writer, its reader",
    "Tail": "reads on from a position",
    "Witness": "as it signs, and as it is listed",
    "Worker": "of projections, and of the simulation",
}
"""Class names of several modules, with what they mean in each of them. A name that needs two reasons is two names."""

_BREAK: Final = re.compile(r"\n\s*\n|\n(?=\s*(?:[|#*-]|\d+\.) ?)|(?<=\S) \| ")
_CLAUSE: Final = re.compile(r"(?:(?<=[.;!?] )|(?<=\*\*)|(?<=^[-|] )|^)(?:Who|What) [^.?!:]*(?:[.?!:]|$)")
_NAME: Final = re.compile(r"[^\W\d]\w*")
_WORD: Final = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+")


def identifiers(source: Source) -> Iterator[str]:
    """Names of classes, functions, arguments, attributes and variables that say such a word."""
    if not any(_unknown(name, INSTEAD) for name in {*_NAME.findall(source.text)}):
        return  # most files, whose trees nobody needs then
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


def repeated_classes(sources: Sequence[Source]) -> dict[str, list[str]]:
    """Class names that several modules declare for others to use, with the modules."""
    found: dict[str, list[str]] = {}
    for source in sources:
        for node in source.nodes:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found.setdefault(node.name, []).append(source.path)
    return {name: paths for name, paths in found.items() if len(paths) > 1}


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


def subjects(text: str) -> Iterator[str]:
    """Sentences of a page that begin with a clause, as in "Who asks is told", where a noun should stand."""
    for paragraph in _BREAK.split(text):
        joined = " ".join(paragraph.split())
        if not joined.startswith("#"):
            yield from (
                found.group() for found in _CLAUSE.finditer(joined) if not found.group().endswith("?")
            )


def entries(glossary: str) -> dict[str, tuple[str, ...]]:
    """The entries of the glossary: the term that each begins with, and what it is also called."""
    found: dict[str, tuple[str, ...]] = {}
    for cell in re.findall(r"^\| ([^|]+?) \|", glossary, re.MULTILINE):
        if cell != "word":
            term, *also = cell.split(", also called ")
            found[term] = tuple(name for names in also for name in names.split(", "))
    return found


def unknown_terms(glossary: str) -> Iterator[str]:
    """Entries that do not begin with the field's word, and terms of the product that no entry has."""
    known = entries(glossary)
    for term in known:
        if term in OF_THE_FIELD:
            yield f"{term}: the field says {OF_THE_FIELD[term]}"
        elif word := next((each for each in re.findall(r"\w+", term.lower()) if each in NO_TERMS), None):
            yield f"{term}: {word} is no term"
        elif "(" in term or ", " in term:
            yield f"{term}: begins with two terms"
    for name, term in OF_THE_FIELD.items():
        if name not in known.get(term, ()):
            yield f"{term}: is also called {name}"


def comments(source: Source) -> Iterator[str]:
    """Such words in docstrings, comments and messages."""
    if not IN_COMMENTS.search(source.text):
        return  # most files
    spoken = (tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING))
    for token in tokenize.generate_tokens(io.StringIO(source.text).readline):
        if token.type in spoken:
            for found in IN_COMMENTS.finditer(token.string):
                line = token.start[0] + token.string.count("\n", 0, found.start())
                yield f"{source.path}:{line}: {found.group()}"


def _unknown(name: str, words: dict[str, str]) -> str | None:
    return next((part for part in _words(name) if part in words), None)


@functools.cache
def _words(name: str) -> tuple[str, ...]:
    return tuple(each.lower() for each in _WORD.findall(name))
