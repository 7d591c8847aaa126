"""What the OpenAPI document says of a read besides its own parameters: freshness headers, shapes, problems."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from fastapi import FastAPI

from read_api import parameters
from runtime.http import answer_shapes, contract
from runtime.http.contract import Components, Document
from runtime.problem_types import CATALOGUE

DESCRIPTION: Final = """
Queries show what commands did. Send the **Position** of a command's answer as `Min-Position` to read what you wrote;
`Prefer: wait=2` waits for it, `Prefer: handling=lenient` takes an older answer after that. Every answer says in
**Applied-Position** how far it goes; sent back as `Min-Position`, it keeps later reads from going back in time.
Problems follow RFC 9457; each `type` is the address of a page that says what to do.
""".strip()

ALWAYS: Final = (
    "invalid-parameter",
    "malformed-token",
    "position-beyond-head",
    "position-lost",
    "stale-read",
    "too-busy",
    "view-unavailable",
)
"""Problems that every read of a view may meet."""

_TEXT: Final = {"type": "string"}
EMAIL_PATTERN: Final = r"^[^@\s]+@[^@\s]+$"

_HEADERS: Final[Components] = {
    "Applied-Position": {"description": "How far this answer goes; opaque.", "schema": _TEXT},
    "Preference-Applied": {"description": "What of Prefer was applied.", "schema": _TEXT},
    "Settled": {
        "description": "With `Prefer: until=settled`: `yes` if it has all that came of the command, or `no` and why.",
        "schema": _TEXT,
    },
    "ETag": {"description": "Changes with the row; for If-None-Match.", "schema": _TEXT},
    "Parked-Position": {
        "description": "The event at which this key stands still until an operator acts.",
        "schema": {"type": "integer"},
    },
    "Link": {"description": "The next page, `rel=next`.", "schema": _TEXT},
    "Next-After": {
        "description": "Up to where the log was looked through: go on with `after` set to it.",
        "schema": {"type": "integer"},
    },
    "Pinned-Position": {
        "description": "The position that all pages of this pinned list are of; reads by id take it as `as_of`.",
        "schema": {"type": "integer"},
    },
    "Cache-Control": {"description": "Who may keep the answer, and how long.", "schema": _TEXT},
    "Surrogate-Key": {"description": "By which shared caches drop it.", "schema": _TEXT},
    "Content-Range": {"description": "Which bytes of how many (RFC 9110, 14.4).", "schema": _TEXT},
    "Vary": {"description": "The answer depends on these headers of the request.", "schema": _TEXT},
    "Parked-Keys": {
        "description": "How many keys of the view stand still until an operator acts.",
        "schema": {"type": "integer"},
    },
}
ANSWER_HEADERS: Final = ("Applied-Position", "Preference-Applied", "Settled")
KEYED_HEADERS: Final = (*ANSWER_HEADERS, "ETag", "Parked-Position")
SHARED_HEADERS: Final = ("Cache-Control", "Surrogate-Key", "Vary")
PAGE_HEADERS: Final = (*ANSWER_HEADERS, "Link")
SUM_HEADERS: Final = (*ANSWER_HEADERS, "Parked-Keys")
LIST_HEADERS: Final = (*PAGE_HEADERS, "Parked-Keys")

_PARAMETERS: Final[Components] = {
    "Min-Position": {
        "name": "Min-Position",
        "in": "header",
        "description": "A Position or Applied-Position that the answer must have reached.",
        "schema": _TEXT,
    },
    "Prefer": {
        "name": "Prefer",
        "in": "header",
        "description": "`wait=N`: wait up to N seconds (at most 10) for Min-Position. `handling=lenient`: then take"
        " what there is. `until=settled`: first wait for what process managers do about the commands that Min-Position"
        " names, and show that, too.",
        "schema": _TEXT,
        "example": "wait=2",
    },
    "Customer-Email": {
        "name": "Customer-Email",
        "in": "header",
        "required": True,
        "description": "The whole address, in UTF-8; capitals do not matter.",
        "schema": {"type": "string", "minLength": 3, "maxLength": 254, "pattern": EMAIL_PATTERN},
        "example": "ada@example.org",
    },
    "If-None-Match": {
        "name": "If-None-Match",
        "in": "header",
        "description": "An earlier ETag.",
        "schema": _TEXT,
    },
    "Range": {
        "name": "Range",
        "in": "header",
        "description": "One range of bytes (RFC 9110, 14.2). Several are answered by the whole.",
        "schema": _TEXT,
        "example": "bytes=0-1023",
    },
    "If-Range": {
        "name": "If-Range",
        "in": "header",
        "description": "An earlier ETag: the range is of that content, or the answer is the whole (RFC 9110, 13.1.5).",
        "schema": _TEXT,
    },
    "limit": {
        "name": "limit",
        "in": "query",
        "description": "Entries on one page.",
        "schema": {
            "type": "integer",
            "minimum": 1,
            "maximum": parameters.LIMIT_MAX,
            "default": parameters.LIMIT_DEFAULT,
        },
        "example": parameters.LIMIT_DEFAULT,
    },
    "cursor": {
        "name": "cursor",
        "in": "query",
        "description": "From `next_cursor` or the link to the next page; opaque.",
        "schema": _TEXT,
    },
    "pinned": {
        "name": "pinned",
        "in": "query",
        "description": "`true`: all pages show the list as of one position, that of the first page.",
        "schema": {"type": "boolean", "default": False},
    },
    "as_of": {
        "name": "as_of",
        "in": "query",
        "description": "A log position, or an RFC 3339 time with offset that has passed: show it as it was then,"
        " folded from the log.",
        "schema": {"oneOf": [{"type": "integer", "minimum": 0}, {"type": "string", "format": "date-time"}]},
        "examples": {"position": {"value": 4711}, "time": {"value": "2026-01-31T12:00:00Z"}},
    },
}
_FRESHNESS: Final = ("Min-Position", "Prefer")

FRESHNESS: Final[Document] = {"parameters": contract.refer("parameters", *_FRESHNESS)}
"""What a route that reads views, or the log, takes besides parameters of its own."""


def keyed_parameters(name: str, *, example: str, as_of: bool, includes: Sequence[str] = ()) -> list[Document]:
    """Parameters of a read by id; `includes` are the names of what may be included."""
    identifier = {
        "name": name,
        "in": "path",
        "required": True,
        "schema": {"type": "string", "pattern": parameters.ID_PATTERN},
        "example": example,
    }
    common = (*(["as_of"] if as_of else []), *_FRESHNESS, "If-None-Match")
    return [identifier, *_include(includes), *contract.refer("parameters", *common)]


def _include(names: Sequence[str]) -> Iterator[Document]:
    if names:
        yield {
            "name": "include",
            "in": "query",
            "description": "What is to be included, as of the same moment, in the member `included`; each requires"
            " the permission of its own path. Not together with `as_of`.",
            "style": "form",
            "explode": False,
            "schema": {
                "type": "array",
                "items": {"type": "string", "enum": sorted(names)},
                "minItems": 1,
                "uniqueItems": True,
            },
            "example": sorted(names),
        }


def responses(
    shape: Any,
    *,
    example: object,
    headers: Sequence[str],
    problems: Sequence[str],
    description: str = "What the view holds.",
    media_type: str = "application/json",
) -> dict[int | str, Document]:
    """The response of success with its example, and one for every problem; `shape` is a type of the answer's body."""
    refused = contract.problem_responses(CATALOGUE[slug] for slug in problems)
    if "stale-read" in problems:
        _add_headers(refused[503], "Applied-Position")
    if {*KEYED_HEADERS} <= {*headers} and "not-found" in problems:
        _add_headers(refused[404], *ANSWER_HEADERS, "Parked-Position")
    return {
        200: {
            "description": description,
            "headers": contract.headers(*headers),
            "content": {media_type: {"schema": answer_shapes.schema_of(shape), "example": example}},
        },
        **refused,
    }


def _add_headers(response: Document, *names: str) -> None:
    """That something is not there, or not yet, is an answer of a view that has come so far, too."""
    response["headers"] = {**response.get("headers", {}), **contract.headers(*names)}


def complete(document: Document, app: FastAPI) -> None:
    """Complete the document of the query API."""
    contract.complete(document, app, headers=_HEADERS, parameters=_PARAMETERS)
    for item in document["paths"].values():
        if "304" in item["get"]["responses"]:
            item["head"] = _without_bodies(item["get"])


def _without_bodies(get: Document) -> Document:
    """What HEAD answers to the request that GET answers so."""
    return {
        **get,
        "operationId": get["operationId"].replace("get_", "head_", 1),
        "responses": {
            status: {name: part for name, part in response.items() if name != "content"}
            for status, response in get["responses"].items()
        },
    }
