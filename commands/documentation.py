"""A command in the OpenAPI document, besides its payload: headers, the answer, all problems."""

from collections.abc import Sequence
from typing import Annotated, Any, Final

from fastapi import Depends

from commands import execution, limits, refusals
from domain.ids import ID_PATTERN
from domain.rejection import Rejection
from runtime.http import compression, contract
from runtime.http.contract import Components, Document
from runtime.problem_types import CATALOGUE

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

_TEXT: Final = {"type": "string"}
_ENTITY_TAG: Final = (
    r'^(\*|"(0|[1-9][0-9]{0,17}|[1-9][0-9]{0,9}\.s[0-9]+_b[0-9]+\.[1-9][0-9]{0,17})'
    rf'({compression.TAG_ENDING})?")$'
)
"""A version, or what a read has as its ETag, also of an answer that came compressed."""

ANSWER_HEADERS: Final[Components] = {
    "ETag": {"description": "The stream's version, for If-Match.", "schema": _TEXT},
    "Position": {"description": "Opaque; for Min-Position.", "schema": _TEXT},
    "Location": {
        "description": "Where the query API shows it.",
        "schema": {"type": "string", "format": "uri"},
    },
    "Settled": {
        "description": "Asked for with `Prefer: wait=5, until=settled`: `yes` once every process manager that it"
        " concerns has an outcome, else `no` with `pending=`, `parked=` or `waiting=` and a name each.",
        "schema": _TEXT,
    },
    "Preference-Applied": {"description": "The part of Prefer that counted.", "schema": _TEXT},
    "Idempotent-Replayed": {
        "description": "`true` if the key was known and this is the first answer again.",
        "schema": _TEXT,
    },
}
KEY: Final[Document] = {"type": "string", "pattern": rf"^[!-~]{{1,{limits.KEY_CHARACTERS_MAX}}}$"}
TARGET: Final[Document] = {"type": "string", "pattern": ID_PATTERN}

REQUEST_HEADERS: Final[Components] = {
    "Idempotency-Key": {
        "name": "Idempotency-Key",
        "in": "header",
        "required": True,
        "description": "The caller's own name for this effect: 1 to 255 visible ASCII characters.",
        "schema": KEY,
        "example": "4f6f2c1e-5d0b-4a53-9a52-0f3c6f3b8a11",
    },
    "If-Match": {
        "name": "If-Match",
        "in": "header",
        "description": "Act only if the stream is at this version, or as a read by id showed it. `*`: if it exists.",
        "schema": {"type": "string", "pattern": _ENTITY_TAG},
    },
    "Prefer": {
        "name": "Prefer",
        "in": "header",
        "description": "`wait=5, until=settled`: answer once process managers have done what follows, or after 5 s.",
        "schema": _TEXT,
        "example": "wait=5, until=settled",
    },
}


def problem_responses(
    slugs: Sequence[str], refused: Sequence[type[Rejection]] = ()
) -> dict[int | str, dict[str, Any]]:
    """The responses of these problems and refusals by status, one example each."""
    return contract.problem_responses(
        [*(CATALOGUE[slug] for slug in slugs), *map(refusals.problem_type, refused)]
    )


def _carried() -> execution.Caller:
    """Keeps FastAPI from taking the caller for a part of the body: the route hands it over itself."""
    raise AssertionError("routes hand the caller over themselves")


Caller = Annotated[execution.Caller, Depends(_carried)]
"""How an endpoint names its caller."""
