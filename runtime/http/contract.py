"""What the OpenAPI documents of both APIs have in common: the one problem, headers of every request, who may call.

FastAPI writes a document from the routes; what no route of its own says is completed here. A schema, a header and a
parameter stand once, among the components, and are referred to, so that a generated client has one type for each.
"""

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

from fastapi import FastAPI
from fastapi.routing import APIRoute

from runtime.http.deprecation import SUNSET, deprecation_of
from runtime.problem_types import CATALOGUE, ProblemType
from runtime.problems import MEDIA_TYPE

Document = dict[str, Any]
"""An OpenAPI document, or a part of one."""
Components = Mapping[str, Document]
"""Components of one kind, by name."""

SCHEMA: Final = "#/components/schemas/{name}"
"""A reference to a schema."""

EVERY_ROUTE: Final = (
    "correlation-id-malformed",
    "unauthenticated",
    "forbidden",
    "too-many-requests",
    "identity-unavailable",
    "internal-error",
)
"""Problems that the pipeline answers, whatever the route."""

_TEXT: Final = {"type": "string"}
_NONE: Final[Components] = MappingProxyType({})
_METHODS: Final = frozenset({"get", "head", "post", "put"})
_OF_FASTAPI: Final = ("HTTPValidationError", "ValidationError")

PROBLEM: Final[Document] = {
    "type": "object",
    "description": "Why a request was not answered as asked (RFC 9457). Rely on `code`, not on the words.",
    "required": ["type", "title", "status", "code", "detail", "correlation_id"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": _TEXT,
        "status": {"type": "integer"},
        "code": _TEXT,
        "detail": _TEXT,
        "correlation_id": _TEXT,
        "errors": {"type": "array", "items": {"$ref": "#/components/schemas/Fault"}},
        "facts": {"type": "object", "additionalProperties": True},
    },
}
"""The one shape of a problem."""

_SCHEMAS: Final[Components] = {
    "Problem": PROBLEM,
    "Fault": {
        "type": "object",
        "description": "What is wrong with one part of a request; at most one of the other members says which.",
        "required": ["detail"],
        "properties": {
            "detail": _TEXT,
            "pointer": {"type": "string", "description": "JSON Pointer into the body."},
            "parameter": {"type": "string", "description": "A parameter of the address."},
            "header": {"type": "string", "description": "A header."},
        },
    },
}
_HEADERS: Final[Components] = {
    "Correlation-Id": {
        "description": "The caller's own, or a new one: names the request in the logs.",
        "schema": _TEXT,
    },
    "Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}},
    "WWW-Authenticate": {
        "description": "How a caller is known: `Bearer`, and what is wrong with the token that was sent (RFC 6750).",
        "schema": _TEXT,
    },
}
_HEADER_OF: Final[dict[int | str, str]] = {
    401: "WWW-Authenticate",
    429: "Retry-After",
    503: "Retry-After",
    "contended": "Retry-After",
}
"""The header that belongs to a status, or to one problem."""

_PARAMETERS: Final[Components] = {
    "Correlation-Id": {
        "name": "Correlation-Id",
        "in": "header",
        "description": "Answered, logged, and kept with the events.",
        "schema": {"type": "string", "pattern": r"^[A-Za-z0-9._:/+=@-]{1,128}$"},
    },
    "traceparent": {
        "name": "traceparent",
        "in": "header",
        "description": "W3C trace context; its trace id serves as correlation id. What cannot be read is ignored.",
        "schema": _TEXT,
    },
}


_SECURITY: Final[Components] = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "An access token of POST /v1/sessions, where the installation has accounts.",
    },
}

_OF_DEPRECATED: Final[Components] = {
    "Deprecation": {
        "description": "Since when this operation is not to be used any more: `@` and seconds (RFC 9745).",
        "schema": _TEXT,
    },
    "Sunset": {"description": "When this operation goes (RFC 8594).", "schema": _TEXT},
}


def refer(kind: str, *names: str) -> list[Document]:
    """References to components of one kind: `parameters`, say."""
    return [{"$ref": f"#/components/{kind}/{name}"} for name in names]


def schema(name: str) -> Document:
    """A reference to a schema."""
    return refer("schemas", name)[0]


def headers(*names: str) -> Document:
    """The headers of an answer, by reference."""
    return dict(zip(names, refer("headers", *names), strict=True))


def problem_responses(problems: Iterable[ProblemType]) -> dict[int | str, Document]:
    """The responses of these problems and of those of the pipeline by status, one example each."""
    responses: dict[int | str, Document] = {}
    for problem in (*problems, *(CATALOGUE[slug] for slug in EVERY_ROUTE)):
        content = {MEDIA_TYPE: {"schema": schema("Problem"), "examples": {}}}
        response = responses.setdefault(problem.status, {"description": "", "content": content})
        header = _HEADER_OF.get(problem.slug, _HEADER_OF.get(problem.status))
        if header is not None:
            response["headers"] = headers(header)
        response["description"] = "; ".join(filter(None, (response["description"], problem.title)))
        response["content"][MEDIA_TYPE]["examples"][problem.slug] = {
            "summary": problem.title,
            "value": {
                "type": problem.uri,
                "title": problem.title,
                "status": problem.status,
                "code": problem.slug,
                "detail": problem.meaning,
                "correlation_id": "0af7651916cd43dd8448eb211c80319c",
            },
        }
    return responses


def complete(
    document: Document,
    app: FastAPI,
    *,
    schemas: Components = _NONE,
    headers: Components = _NONE,
    parameters: Components = _NONE,
) -> None:
    """Complete FastAPI's document in place, with components that routes refer to."""
    components = document.setdefault("components", {})
    components["schemas"] = {**components.get("schemas", {}), **_SCHEMAS, **schemas}
    components["headers"] = {**_HEADERS, **headers}
    components["parameters"] = {**_PARAMETERS, **parameters}
    for name in _OF_FASTAPI:
        components["schemas"].pop(name, None)
    components["securitySchemes"] = _SECURITY
    document["security"] = [{}, {"token": []}]  # none where everybody is anonymous
    _restore(document, app)
    _deprecate(document, app)
    for operation in operations(document):
        _complete(operation)


def operations(document: Document) -> Iterator[Document]:
    """Every operation of a document."""
    for item in document["paths"].values():
        yield from (operation for method, operation in item.items() if method in _METHODS)


def _complete(operation: Document) -> None:
    parameters = operation.setdefault("parameters", [])
    for parameter in parameters:
        _never_null(parameter)
    parameters.extend(refer("parameters", *_PARAMETERS))
    responses = operation["responses"]
    if schema("HTTPValidationError") == _schema_of(responses.get("422", {})):
        del responses["422"]  # FastAPI's own, which nothing here answers
    for response in responses.values():
        response["headers"] = {**response.get("headers", {}), **headers("Correlation-Id")}


def _never_null(parameter: Document) -> None:
    """FastAPI writes that a parameter which may be absent may be null, but an address cannot say null."""
    match parameter.get("schema"):
        case {"anyOf": [shape, {"type": "null"}], **rest}:
            parameter["schema"] = {**rest, **shape}


def _schema_of(response: Document) -> object:
    return response.get("content", {}).get("application/json", {}).get("schema")


def _deprecate(document: Document, app: FastAPI) -> None:
    """Say of operations that will go that they do."""
    for route in _documented(app):
        deprecation = deprecation_of(route.endpoint)
        if deprecation is None:
            continue
        names = ["Deprecation"] if deprecation.sunset is None else [*_OF_DEPRECATED]
        document["components"]["headers"] |= {name: _OF_DEPRECATED[name] for name in names}
        for method in route.methods or ():
            operation = document["paths"][route.path][method.lower()]
            operation["deprecated"] = True
            if deprecation.sunset is not None:
                operation[SUNSET] = deprecation.sunset.isoformat()
            for response in operation["responses"].values():
                response["headers"] = {**response.get("headers", {}), **headers(*names)}


def _documented(app: FastAPI) -> Iterator[APIRoute]:
    for route in app.routes:
        if isinstance(route, APIRoute) and route.include_in_schema:
            yield route


def _restore(document: Document, app: FastAPI) -> None:
    """Show answers as their routes declared them: FastAPI leaves out the nulls of examples.

    Shapes that a route declares among the `$defs` of a schema become components.
    """
    shapes = document["components"]["schemas"]
    for route in _documented(app):
        for method in route.methods or ():
            answers = document["paths"][route.path][method.lower()]["responses"]
            for status, declared in route.responses.items():
                for media_type, content in declared.get("content", {}).items():
                    shape = dict(content["schema"])
                    for name, each in shape.pop("$defs", {}).items():
                        assert shapes.setdefault(name, each) == each, f"two shapes have the name {name}"
                    answers[str(status)]["content"][media_type] = {**content, "schema": shape}
