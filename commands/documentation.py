"""What the OpenAPI document says of a command besides its payload: headers, the answer, every problem it may meet."""

from collections.abc import Sequence
from typing import Annotated, Any, Final

from fastapi import Depends, Header

from commands import execution, refusals
from domain.rejection import Rejection
from runtime.problem_types import CATALOGUE
from runtime.problems import MEDIA_TYPE

DESCRIPTION: Final = """
Commands say what should happen. Each carries an **Idempotency-Key** of the caller's own: sent again with the same
key, it is done once, and the first answer is given again. The header **Position** of an answer, sent to the query API
as `Min-Position`, makes sure that a read sees what was written. Problems follow RFC 9457; each `type` is the address
of a page that says what to do.
""".strip()

ALWAYS: Final = (
    "idempotency-key-missing",
    "idempotency-key-malformed",
    "malformed-json",
    "if-match-malformed",
    "body-too-slow",
    "contended",
    "precondition-failed",
    "body-too-large",
    "unsupported-media-type",
    "validation-failed",
    "idempotency-key-reused",
    "too-busy",
    "outcome-unknown",
    "store-unavailable",
    "shutting-down",
)
"""Problems that every command may meet."""

OF_A_BATCH: Final = (
    "malformed-json",
    "body-too-slow",
    "body-too-large",
    "unsupported-media-type",
    "validation-failed",
    "too-busy",
)
"""Problems of a batch as a whole; those of its commands stand in their results."""

ANSWER_HEADERS: Final = {
    "ETag": {"description": "The stream's version, for If-Match.", "schema": {"type": "string"}},
    "Position": {"description": "Opaque; for Min-Position.", "schema": {"type": "string"}},
    "Location": {"description": "Where the query API shows it.", "schema": {"type": "string"}},
    "Idempotent-Replayed": {
        "description": "`true` if the key was known and this is the first answer again.",
        "schema": {"type": "string"},
    },
}

_PROBLEM_SCHEMA: Final = {
    "type": "object",
    "required": ["type", "title", "status", "code", "detail", "correlation_id"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string"},
        "detail": {"type": "string"},
        "correlation_id": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "detail": {"type": "string"},
                    "pointer": {"type": "string"},
                    "parameter": {"type": "string"},
                    "header": {"type": "string"},
                },
            },
        },
        "facts": {"type": "object"},
    },
}


def problem_responses(
    slugs: Sequence[str], refused: Sequence[type[Rejection]] = ()
) -> dict[int | str, dict[str, Any]]:
    """The responses of these problems and refusals by status, one example each."""
    responses: dict[int | str, dict[str, Any]] = {}
    problems = [*(CATALOGUE[slug] for slug in slugs), *map(refusals.problem_type, refused)]
    for problem in problems:
        response = responses.setdefault(
            problem.status,
            {"description": "", "content": {MEDIA_TYPE: {"schema": _PROBLEM_SCHEMA, "examples": {}}}},
        )
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


def _documented_headers(
    *,
    idempotency_key: Annotated[  # noqa: ARG001 - parameters are what is documented
        str,
        Header(
            description="The caller's own name for this effect: 1 to 255 visible ASCII characters.",
            examples=["4f6f2c1e-5d0b-4a53-9a52-0f3c6f3b8a11"],
        ),
    ],
    if_match: Annotated[  # noqa: ARG001
        str | None, Header(description="Act only if the stream is at this version.", examples=['"3"'])
    ] = None,
    correlation_id: Annotated[  # noqa: ARG001
        str | None, Header(description="Echoed, logged, and kept with the events.")
    ] = None,
    traceparent: Annotated[  # noqa: ARG001
        str | None, Header(description="W3C trace context; its trace id serves as correlation id.")
    ] = None,
) -> execution.Caller:
    """Only documents the headers: the route reads them itself (see `commands.routing`)."""
    raise AssertionError("routes hand the caller over themselves")


Caller = Annotated[execution.Caller, Depends(_documented_headers)]
"""How an endpoint names its caller."""
