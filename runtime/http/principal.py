"""Who a request comes from, and what a route requires of them."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

from msgspec import Struct

from runtime.actors import Kind, actor

F = TypeVar("F", bound=Callable[..., Any])


class Principal(Struct, frozen=True):
    """Who acts: the actor of the events that follow, and the scope of the idempotency keys that they choose.

    `id` is pseudonymous: never an e-mail, never a name. `permissions` None: they may do everything. `credential` is the
    session or the key that they proved themselves by, None where none was needed. `on_behalf_of` is the actor for whom
    another one acts.
    """

    kind: Kind
    id: str = ""
    permissions: frozenset[str] | None = frozenset()
    roles: frozenset[str] = frozenset()
    credential: str | None = None
    on_behalf_of: str | None = None

    @property
    def actor(self) -> str:
        """The principal as one text: `account:018f…`, or only the kind where there is no id."""
        return actor(self.kind, self.id)


ANONYMOUS: Final = Principal("anonymous", permissions=None)
"""Every caller where no identities are configured; it may do everything."""

NOBODY: Final = Principal("anonymous")
"""A caller who did not say who they are where callers have identities: public routes are all they may use."""


class Public(Struct, frozen=True):
    """What a route requires that anybody may use, and why."""

    reason: str


class Known(Struct, frozen=True):
    """A route that every known caller may use, and why; `only`: callers of this kind."""

    reason: str
    only: Kind | None = None


class Browsable(Struct, frozen=True):
    """A route that callers without a token may use, too, and why; of who shows one it requires a permission."""

    permission: str
    reason: str


class Owned(Struct, frozen=True):
    """What a route requires whose objects belong to somebody: a permission, or one that holds for one's own objects."""

    permission: str

    @property
    def own(self) -> str:
        """The permission for one's own objects alone."""
        return f"own-{self.permission}"


Requirement = str | Public | Known | Browsable | Owned
"""The permission that a route requires, or that it requires none."""


def requires(requirement: Requirement) -> Callable[[F], F]:
    """Declare what an endpoint requires; there is no default, so a route whose endpoint lacks it does not start."""

    def declare(endpoint: F) -> F:
        endpoint.requires = requirement  # type: ignore[attr-defined]
        return endpoint

    return declare


def may_use(principal: Principal, requirement: Requirement) -> bool:
    """Whether a principal has what is required."""
    permissions = principal.permissions
    if permissions is None:
        return True
    if isinstance(requirement, str):
        return requirement in permissions
    if isinstance(requirement, Owned):
        return requirement.permission in permissions or requirement.own in permissions
    if isinstance(requirement, Browsable):
        return principal.kind == "anonymous" or requirement.permission in permissions
    if isinstance(requirement, Known):
        return principal.id != "" and requirement.only in {None, principal.kind}
    return True


def confined_to(principal: Principal, requirement: Requirement) -> str | None:
    """Whose objects alone a principal may use that has what is required; None: everybody's."""
    if not isinstance(requirement, Owned) or principal.permissions is None:
        return None
    return None if requirement.permission in principal.permissions else principal.id


def is_confined(principal: Principal, requirement: Requirement) -> bool:
    """Whether a principal that has what is required finds there what is its own, and nothing else."""
    if isinstance(requirement, Known):
        return requirement.only == "account"
    return confined_to(principal, requirement) is not None


def permission_of(requirement: Requirement) -> str | None:
    """The permission that is required of who uses everybody's objects; None: it is required of nobody."""
    if isinstance(requirement, Owned | Browsable):
        return requirement.permission
    return requirement if isinstance(requirement, str) else None
