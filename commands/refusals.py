"""Refusals as problems: what the domain raises, what the log says, and what cannot be done at the moment."""

from collections.abc import Sequence
from typing import Final

from commands import limits
from domain.rejection import Conflict, Rejection, Unacceptable, Unknown
from runtime.problem_types import ProblemType
from runtime.problems import Fault, ProblemError, json_pointer, of_fault

_STATUSES: Final = ((Unknown, 404), (Conflict, 409), (Unacceptable, 422))


def problem_type(refusal: type[Rejection]) -> ProblemType:
    """The problem that a refusal is over HTTP: it says what it is, its family says with which status."""
    (status,) = [status for family, status in _STATUSES if issubclass(refusal, family)]
    return ProblemType(refusal.code, status, refusal.title, refusal.meaning, refusal.remedy)


def problem_of(refusal: Rejection | ProblemError) -> ProblemError:
    """The problem that a refused caller gets."""
    if isinstance(refusal, ProblemError):
        return refusal
    faults = [Fault(place.detail, json_pointer(place.path)) for place in refusal.places()]
    problem = ProblemError(problem_type(type(refusal)), str(refusal), errors=faults)
    problem.facts.update(refusal.facts())
    return problem


def version_moved(stream: str, *, expected: int | str, actual: int) -> ProblemError:
    """If-Match names a version that is not the stream's."""
    return ProblemError(
        "precondition-failed",
        f"{stream} is at version {actual}, not at {expected}." if actual else f"{stream} does not exist.",
        stream=stream,
        expected=expected,
        actual=actual,
        events_since=[],
    )


def key_reused() -> ProblemError:
    """The key was accepted for something else."""
    fault = Fault(detail="Another request was accepted with this key", header="Idempotency-Key")
    return of_fault("idempotency-key-reused", fault)


def contended(stream: str) -> ProblemError:
    """Other writers were faster at every attempt."""
    return ProblemError(
        "contended",
        f"{stream} changed under every attempt to decide.",
        headers={"retry-after": "1"},
        stream=stream,
    )


def too_many_tagged(tags: Sequence[str]) -> ProblemError:
    """A decision by tag would have to read more events than it may."""
    return ProblemError(
        "too-many-tagged",
        f"More than {limits.TAGGED_EVENTS_MAX} events carry {' and '.join(tags)}.",
        tags=list(tags),
        limit=limits.TAGGED_EVENTS_MAX,
    )


def too_busy() -> ProblemError:
    """The queue is full; nothing was begun."""
    return ProblemError("too-busy", "The queue of commands is full. Nothing was done.")


def outcome_unknown() -> ProblemError:
    """The answer of the log was lost."""
    return ProblemError(
        "outcome-unknown", "The log's answer was lost. Send the request again with the same key to get it."
    )


def store_unavailable() -> ProblemError:
    """The log does not answer; nothing was done."""
    return ProblemError("store-unavailable", "The log does not answer at the moment. Nothing was done.")


def shutting_down() -> ProblemError:
    """The process is draining; nothing was begun."""
    return ProblemError("shutting-down", "The process is shutting down. Nothing was done.")


def may_pass(problem: ProblemError) -> bool:
    """Whether the same command may go well another time, as it is: nothing is wrong with what it asks."""
    return problem.status >= 500 or problem.type.slug == "contended"
