"""Problems as answers (RFC 9457): one error to raise, one way to render it.

Error:
    ProblemError    a request is answered with a problem
"""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import msgspec
from msgspec import Struct

from runtime.problem_types import CATALOGUE, ProblemType

MEDIA_TYPE: Final = "application/problem+json"
ERRORS_MAX: Final = 50
"""Faults named in one answer; a body can have more, but nobody corrects more at once."""

CHALLENGE: Final = 'Bearer realm="counterfoil"'
"""How a caller is known, which every 401 says (RFC 9110, 15.5.2)."""

_RETRY_AFTER_S: Final = 1
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})
_encode = msgspec.json.Encoder().encode


class Fault(Struct, frozen=True, omit_defaults=True):
    """What is wrong with one part of a request: of its body (JSON Pointer), its address or its headers."""

    detail: str
    pointer: str | None = None
    parameter: str | None = None
    header: str | None = None


class ProblemError(Exception):
    """A request is answered with a problem: one of the catalogue by its slug, or a type declared elsewhere.

    `facts` stand under that name in the answer, so their values must be JSON: text, numbers, lists, objects. `about` is
    the actor whose security stream it belongs to, where that is not the caller; it is never answered.
    """

    def __init__(
        self,
        problem: str | ProblemType,
        detail: str,
        *,
        errors: Sequence[Fault] = (),
        headers: Mapping[str, str] = _NO_HEADERS,
        about: str | None = None,
        **facts: object,
    ) -> None:
        self.type = problem if isinstance(problem, ProblemType) else CATALOGUE[problem]
        super().__init__(f"{self.type.slug}: {detail}")
        self.detail = detail
        self.errors = errors
        self.headers = headers
        self.about = about
        self.facts = facts

    @property
    def status(self) -> int:
        """The HTTP status of the answer."""
        return self.type.status

    def document(self, correlation_id: str) -> dict[str, object]:
        """The members of the answer's body."""
        document: dict[str, object] = {
            "type": self.type.uri,
            "title": self.type.title,
            "status": self.type.status,
            "code": self.type.slug,
            "detail": self.detail,
            "correlation_id": correlation_id,
        }
        if self.errors:
            document["errors"] = self.errors
        if self.facts:
            document["facts"] = self.facts
        return document

    def body(self, correlation_id: str) -> bytes:
        """The answer's body."""
        return _encode(self.document(correlation_id))

    def response_headers(self) -> dict[str, str]:
        """The answer's own headers: when to come again, where a problem passes by itself, or how a caller is known."""
        headers = {"content-type": MEDIA_TYPE}
        if self.status == 503:
            headers["retry-after"] = str(_RETRY_AFTER_S)
        if self.status == 401:
            headers["www-authenticate"] = CHALLENGE
        headers.update(self.headers)
        return headers


def of_fault(
    problem: str | ProblemType, fault: Fault, *, headers: Mapping[str, str] = _NO_HEADERS, **facts: Any
) -> ProblemError:
    """The problem that one part of the request is at fault for, and that says no more than its fault."""
    return ProblemError(problem, sentence(fault.detail), errors=(fault,), headers=headers, **facts)


def json_pointer(location: Iterable[str | int]) -> str:
    """The JSON Pointer (RFC 6901) of a path of member names and indices."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in location)


def unreadable(reason: str) -> ProblemError:
    """The body is not JSON at all."""
    return ProblemError("malformed-json", reason, errors=(Fault(detail=reason, pointer=""),))


def from_body_errors(errors: Sequence[Mapping[str, Any]]) -> ProblemError:
    """The problem for what pydantic found wrong with a body that it read as JSON itself."""
    first = errors[0]
    if first["type"] == "json_invalid":
        return unreadable(str(first["msg"]))
    faults = [Fault(detail=said_of(e), pointer=json_pointer(e["loc"])) for e in errors[:ERRORS_MAX]]
    return invalid(faults, found=len(errors))


def said_of(found: Mapping[str, Any]) -> str:
    """What pydantic found wrong with a value, in words for callers, who need not know Python's."""
    match found:
        case {"type": "value_error", "ctx": {"error": error}}:
            return str(error)
        case {"type": "too_short", "ctx": {"min_length": at_least, "actual_length": actual}}:
            return f"Entries: at least {at_least}, not {actual}"
        case {"type": "too_long", "ctx": {"max_length": at_most, "actual_length": actual}}:
            return f"Entries: at most {at_most}, not {actual}"
    return str(found["msg"])


def invalid(faults: Sequence[Fault], *, found: int | None = None) -> ProblemError:
    """The problem for a request with these faults; `found` of them in all if not every one is named."""
    count = len(faults) if found is None else found
    detail = sentence(faults[0].detail) if count == 1 else f"{count} members cannot be accepted."
    return ProblemError("validation-failed", detail, errors=faults)


def sentence(text: str) -> str:
    """The text with a full stop, unless it ends as a sentence does."""
    return text if text.endswith((".", "?", "!")) else f"{text}."
