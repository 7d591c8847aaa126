"""Refusals as problems: what the domain raises, what the log says, and what cannot be done at the moment."""

from collections.abc import Mapping, Sequence

from commands import limits
from domain.rejection import Rejection
from runtime.problems import Fault, ProblemError


def problem_of(refusal: Rejection | ProblemError) -> ProblemError:
    """The problem that a refused caller is told."""
    if isinstance(refusal, ProblemError):
        return refusal
    problem = ProblemError(refusal.code, str(refusal))
    problem.facts.update(refusal.facts())
    return problem


def version_moved(stream: str, *, expected: int | str, actual: int) -> ProblemError:
    """If-Match names a version that is not the stream's."""
    at = f"at version {actual}" if actual else "still without any event"
    return ProblemError(
        "precondition-failed",
        f"{stream} is {at}, not at {expected}.",
        stream=stream,
        expected=expected,
        actual=actual,
    )


def key_reused() -> ProblemError:
    """The key was accepted for something else."""
    return ProblemError(
        "idempotency-key-reused", "A request with this key was accepted, and it was another one."
    )


def unknown_skus(unknown: Mapping[int, str]) -> ProblemError:
    """Lines, by index, whose code no product has."""
    faults = [
        Fault(f"No product has the code '{sku}'", f"/lines/{index}/sku") for index, sku in unknown.items()
    ]
    return ProblemError("unknown-sku", f"{len(faults)} lines name a code that no product has.", errors=faults)


def no_list_price(index: int, *, sku: str, currency: str) -> ProblemError:
    """A line without a price, for a product without a list price in that currency."""
    fault = Fault(f"'{sku}' has no list price in {currency}", f"/lines/{index}/unit_price")
    return ProblemError("no-list-price", f"{fault.detail}, and the line names none.", errors=(fault,))


def not_stocked(sku: str) -> ProblemError:
    """A movement of stock for a product that has none."""
    return ProblemError("not-stocked", f"'{sku}' is not kept in stock.", sku=sku)


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
    return ProblemError("too-busy", "Too many commands wait already. Nothing was done.")


def outcome_unknown() -> ProblemError:
    """The answer of the log was lost."""
    return ProblemError(
        "outcome-unknown", "The log's answer was lost. Send the request again with the same key to learn it."
    )


def store_unavailable() -> ProblemError:
    """The log does not answer; nothing was done."""
    return ProblemError("store-unavailable", "The log does not answer at the moment. Nothing was done.")


def shutting_down() -> ProblemError:
    """The process is draining; nothing was begun."""
    return ProblemError("shutting-down", "This process is ending. Nothing was done.")
