"""Who a request comes from, and what a route requires of them."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

from msgspec import Struct

F = TypeVar("F", bound=Callable[..., Any])


class Principal(Struct, frozen=True):
    """Who acts: the actor of the events that follow, and the scope of the idempotency keys that they choose.

    `actor` is a pseudonymous id. `permissions` None: they may do everything.
    """

    actor: str
    permissions: frozenset[str] | None


ANONYMOUS: Final = Principal("anonymous", permissions=None)
"""Every caller where no identities are configured; it may do everything."""

NOBODY: Final = Principal("", permissions=frozenset())
"""The principal of a request that was not authenticated (yet)."""


class Public(Struct, frozen=True):
    """What a route requires that anybody may use, and why."""

    reason: str


Requirement = str | Public
"""The permission that a route requires, or that it requires none."""


def requires(requirement: Requirement) -> Callable[[F], F]:
    """Declare what an endpoint requires; there is no default, so a route whose endpoint lacks it does not start."""

    def declare(endpoint: F) -> F:
        endpoint.requires = requirement  # type: ignore[attr-defined]
        return endpoint

    return declare


def may_use(principal: Principal, requirement: Requirement) -> bool:
    """Whether a principal has what is required."""
    if isinstance(requirement, Public) or principal.permissions is None:
        return True
    return requirement in principal.permissions
