"""What may stand in an address: ids, limits, cursors. Nothing else: a misspelt filter would filter nothing."""

import difflib
import re
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError

from runtime import problems
from runtime.http import api_version, problem_answers
from runtime.problems import ERRORS_MAX, Fault, ProblemError, said_of, sentence

ID_PATTERN: Final = r"^[A-Za-z0-9](?:[A-Za-z0-9_. -]{0,62}[A-Za-z0-9])?$"
"""An id as clients may choose it: ASCII letters, digits, `_`, `.`, `-`, space; first and last a letter or digit."""

TEXT_PATTERN: Final = r"^[^\x00-\x1f\x7f-\x9f]{1,100}$"
"""Text of the callers' own, without control characters."""

LIMIT: Final = "limit"
CURSOR: Final = "cursor"
SORT: Final = "sort"
IDS: Final = "ids"
PINNED: Final = "pinned"
OF_LISTS: Final = (LIMIT, CURSOR, SORT, IDS, PINNED)
"""Parameters that every list may have; no filter is called so."""

LIMIT_MAX: Final = 100
LIMIT_DEFAULT: Final = 20
NAME_LENGTH_MAX: Final = 64
"""Characters of a parameter's name that an answer repeats."""
POSITION_MAX: Final = 2**63 - 1

is_id = re.compile(ID_PATTERN[1:-1]).fullmatch
"""Whether a text can be an id."""

Limit = Annotated[
    int, Query(ge=1, le=LIMIT_MAX, description="Entries on one page.", examples=[LIMIT_DEFAULT])
]


def refuse_unknown(given: Iterable[tuple[str, str]], *, known: Sequence[str]) -> None:
    """Refuse parameters that a route does not have, and parameters given twice.

    Raises:
        ProblemError: `invalid-parameter`.
    """
    faults: list[Fault] = []
    seen: set[str] = set()
    for name, _ in given:
        if name not in known:
            faults.append(Fault(detail=_unknown(name, known), parameter=name[:NAME_LENGTH_MAX]))
        elif name in seen:
            faults.append(Fault(detail=f"The parameter {name} is a duplicate", parameter=name))
        seen.add(name)
    if faults:
        raise invalid(faults[:ERRORS_MAX])


def invalid(faults: Sequence[Fault]) -> ProblemError:
    """The problem for parameters that cannot be accepted."""
    detail = (
        sentence(faults[0].detail) if len(faults) == 1 else f"{len(faults)} parameters cannot be accepted."
    )
    return ProblemError("invalid-parameter", detail, errors=faults)


def invalid_parameter(name: str, detail: str) -> ProblemError:
    """The problem for one parameter."""
    return invalid([Fault(detail=detail, parameter=name)])


def malformed_cursor(detail: str) -> ProblemError:
    """The problem for a cursor that was issued elsewhere, or for another question."""
    return problems.of_fault("malformed-cursor", Fault(detail=detail, parameter=CURSOR))


def query_router(tag: str) -> APIRouter:
    """A router for reads, below the API's version; parameters that they do not have are refused."""
    return APIRouter(prefix=api_version.PREFIX, tags=[tag], dependencies=[Depends(only_known_parameters)])


async def only_known_parameters(request: Request) -> None:
    """Dependency of every route whose parameters the framework reads."""
    given = request.query_params.multi_items()
    if given:
        refuse_unknown(given, known=_parameters_of(request.scope["route"].dependant))


def problem_of(error: Exception) -> ProblemError | None:
    """The problem that an error means to a caller of this API; values that do not fit are invalid parameters."""
    if isinstance(error, RequestValidationError):
        return invalid([_fault(found) for found in error.errors()[:ERRORS_MAX]])
    return problem_answers.problem_of(error)


def _parameters_of(dependant: Dependant) -> list[str]:
    """Names of all parameters that a route and its dependencies read from the address."""
    own = [field.alias for field in dependant.query_params]
    return own + [name for each in dependant.dependencies for name in _parameters_of(each)]


def _unknown(name: str, known: Sequence[str]) -> str:
    shown = name if name.isascii() and name.isprintable() and len(name) <= 40 else "of this name"
    if near := difflib.get_close_matches(name, known, n=1, cutoff=0.6):
        return f"There is no parameter {shown} here; did you mean {near[0]}?"
    if known:
        return f"There is no parameter {shown} here; there are: {', '.join(known)}"
    return f"There is no parameter {shown} here; this address takes none"


def _fault(found: dict[str, Any]) -> Fault:
    place, *rest = found["loc"]
    name, detail = ".".join(str(step) for step in rest), said_of(found)
    return Fault(detail=detail, header=name) if place == "header" else Fault(detail=detail, parameter=name)
