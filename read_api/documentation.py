"""What the OpenAPI document says of a read besides its own parameters: freshness headers, row shapes, problems."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from fastapi import FastAPI
from fastapi.routing import APIRoute

from read_api import parameters
from runtime.problem_types import CATALOGUE
from runtime.problems import MEDIA_TYPE

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

ANSWER_HEADERS: Final[dict[str, Any]] = {
    "Applied-Position": {"description": "How far this answer goes; opaque.", "schema": _TEXT},
    "Preference-Applied": {"description": "What of Prefer was applied.", "schema": _TEXT},
}
KEYED_HEADERS: Final[dict[str, Any]] = {
    **ANSWER_HEADERS,
    "ETag": {"description": "Changes with the row; for If-None-Match.", "schema": _TEXT},
    "Parked-Position": {
        "description": "The event at which this key stands still until an operator looks at it.",
        "schema": {"type": "integer"},
    },
}
LIST_HEADERS: Final[dict[str, Any]] = {
    **ANSWER_HEADERS,
    "Link": {"description": "The next page, `rel=next`.", "schema": _TEXT},
    "Parked-Keys": {
        "description": "How many keys of the view stand still until an operator looks at them.",
        "schema": {"type": "integer"},
    },
}

_FRESHNESS_PARAMETERS: Final[list[dict[str, Any]]] = [
    {
        "name": "Min-Position",
        "in": "header",
        "description": "A Position or Applied-Position that the answer must have reached.",
        "schema": _TEXT,
    },
    {
        "name": "Prefer",
        "in": "header",
        "description": "`wait=N`: wait up to N seconds (at most 10) for Min-Position. `handling=lenient`: then take"
        " what there is.",
        "schema": _TEXT,
        "example": "wait=2",
    },
    {"name": "If-None-Match", "in": "header", "description": "An earlier ETag.", "schema": _TEXT},
]
_AS_OF: Final[dict[str, Any]] = {
    "name": "as_of",
    "in": "query",
    "description": "A log position, or an RFC 3339 time with offset: show it as it was then, folded from the log.",
    "schema": {"oneOf": [{"type": "integer", "minimum": 0}, {"type": "string", "format": "date-time"}]},
    "examples": {"position": {"value": 4711}, "time": {"value": "2026-01-31T12:00:00Z"}},
}
_PROBLEM: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["type", "title", "status", "code", "detail", "correlation_id"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": _TEXT,
        "status": {"type": "integer"},
        "code": _TEXT,
        "detail": _TEXT,
        "correlation_id": _TEXT,
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["detail"],
                "properties": {"detail": _TEXT, "parameter": _TEXT, "header": _TEXT},
            },
        },
    },
}


def keyed_parameters(name: str, *, example: str, as_of: bool) -> list[dict[str, Any]]:
    """Parameters of a read by id."""
    identifier = {
        "name": name,
        "in": "path",
        "required": True,
        "schema": {"type": "string", "pattern": parameters.ID_PATTERN},
        "example": example,
    }
    return [identifier, *([_AS_OF] if as_of else []), *_FRESHNESS_PARAMETERS]


def row_schema(row: type[msgspec.Struct]) -> dict[str, Any]:
    """The JSON schema of a row type, nested types in place."""
    (schema,), components = msgspec.json.schema_components([row], ref_template="{name}")
    resolved = _inlined(schema, components)
    assert isinstance(resolved, dict)
    return resolved


def list_schema(row: type[msgspec.Struct]) -> dict[str, Any]:
    """The JSON schema of a page of rows."""
    return {
        "type": "object",
        "required": ["items", "next_cursor"],
        "properties": {
            "items": {"type": "array", "items": row_schema(row)},
            "next_cursor": {"type": ["string", "null"]},
        },
    }


def responses(
    schema: dict[str, Any],
    *,
    example: object,
    headers: dict[str, Any],
    problems: Sequence[str],
    description: str = "What the view holds.",
    media_type: str = "application/json",
) -> dict[int | str, dict[str, Any]]:
    """The response of success with its example, and one for every problem."""
    found: dict[int | str, dict[str, Any]] = {
        200: {
            "description": description,
            "headers": headers,
            "content": {media_type: {"schema": schema, "example": example}},
        }
    }
    for slug in problems:
        _add_problem(found, slug)
    return found


def install(app: FastAPI) -> None:
    """Serve FastAPI's document, corrected where it would not say what this API does."""
    generate = app.openapi

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _corrected(generate(), app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _corrected(document: dict[str, Any], app: FastAPI) -> dict[str, Any]:
    """Examples as given, nulls included, and no 422, which this API never answers."""
    for name in ("HTTPValidationError", "ValidationError"):
        document.get("components", {}).get("schemas", {}).pop(name, None)
    for route in app.routes:
        if not isinstance(route, APIRoute) or not route.include_in_schema:
            continue
        answers = document["paths"][route.path]["get"]["responses"]
        answers.pop("422", None)
        for media_type, content in route.responses.get(200, {}).get("content", {}).items():
            answers["200"]["content"][media_type] = content
    return document


def _add_problem(found: dict[int | str, dict[str, Any]], slug: str) -> None:
    problem = CATALOGUE[slug]
    empty = {"description": "", "content": {MEDIA_TYPE: {"schema": _PROBLEM, "examples": {}}}}
    response = found.setdefault(problem.status, empty)
    response["description"] = "; ".join(filter(None, (response["description"], problem.title)))
    response["content"][MEDIA_TYPE]["examples"][slug] = {
        "summary": problem.title,
        "value": {
            "type": problem.uri,
            "title": problem.title,
            "status": problem.status,
            "code": slug,
            "detail": problem.meaning,
            "correlation_id": "0af7651916cd43dd8448eb211c80319c",
        },
    }


def _inlined(schema: object, components: dict[str, Any]) -> object:
    """The schema with references replaced by what they name; row types are never recursive."""
    if isinstance(schema, list):
        return [_inlined(each, components) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(components[schema["$ref"]], components)
    return {name: _inlined(each, components) for name, each in schema.items()}
