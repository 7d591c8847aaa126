"""Errors as answers: which problem an error means to a caller, and how a problem is answered."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from runtime import problems
from runtime.problem_types import CATALOGUE
from runtime.problems import ERRORS_MAX, Fault, ProblemError, json_pointer

_NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})
_BY_STATUS: Final = {
    404: "not-found",
    405: "method-not-allowed",
    413: "body-too-large",
    415: "unsupported-media-type",
}


def respond(problem: ProblemError, correlation_id: str) -> Response:
    """The answer to a request that met this problem."""
    return Response(
        problem.body(correlation_id), status_code=problem.status, headers=problem.response_headers()
    )


def problem_of(error: Exception) -> ProblemError | None:
    """The problem that an error of an endpoint or of the framework means to a caller; None: nobody foresaw it."""
    match error:
        case ProblemError():
            return error
        case RequestValidationError():
            faults = [_fault_of(found) for found in error.errors()[:ERRORS_MAX]]
            return problems.invalid(faults, found=len(error.errors()))
        case HTTPException():
            unnamed = "internal-error" if error.status_code >= 500 else "validation-failed"
            slug = _BY_STATUS.get(error.status_code, unnamed)
            return ProblemError(slug, f"{CATALOGUE[slug].title}.", headers=error.headers or _NO_HEADERS)
    return None


def _fault_of(found: Mapping[str, Any]) -> Fault:
    place, *rest = found["loc"]
    detail = problems.said_of(found)
    match place:
        case "header":
            return Fault(detail=detail, header=".".join(str(step) for step in rest))
        case "body":
            return Fault(detail=detail, pointer=json_pointer(rest))
        case _:
            return Fault(detail=detail, parameter=".".join(str(step) for step in rest))
