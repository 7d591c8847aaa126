"""A caller's authority for the append of a command: the grants it relies on, and the owner it is confined to.

A token says what its bearer could do when it was issued, and what is taken away meanwhile reaches every process within
a second. In that second the log decides. The roles of an account and the keys of a program are streams; every append
for one of them names that stream check-only, at the version that was looked at. A role that was taken away in between
is another version: the append is refused, and decided again on the roles of now.
"""

import functools
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar

from msgspec import Struct, structs

from commands.decision import ABSENT, DecisionView, StreamState
from domain.aggregate import Aggregate
from domain.identity.account import GRANTS, Grants
from domain.identity.client import CLIENT, RegisteredClient
from runtime.http import principal as principals
from runtime.http.access import permissions_of
from runtime.http.principal import Known, Principal, Public, Requirement, may_use
from runtime.problems import ProblemError

S = TypeVar("S")

AUTHORITIES_KEPT: Final = 1_024
"""Callers with what they ask for, most of whom ask again."""


class Grant(Struct, frozen=True):
    """The stream that says what a caller may do, and whether what it says suffices for a command."""

    aggregate: Aggregate[Any]
    identifier: str
    suffices: Callable[[Any], bool]


class Authority(Struct, frozen=True):
    """The grants that a command of one caller relies on; none if its permission cannot be revoked.

    `confined_to`: whose objects alone there are for them; None: everybody's.
    """

    grant: Grant | None = None
    confined_to: str | None = None

    def prefetch(self, view: DecisionView) -> None:
        """Have the grant loaded with the first state that is missing."""
        if self.grant is not None:
            view.prefetch(self.grant.aggregate, (self.grant.identifier,))

    def require(self, view: DecisionView) -> None:
        """Rely on the grant, and refuse the command if it does not suffice.

        Raises:
            ProblemError: `forbidden`.
        """
        grant = self.grant
        if grant is not None and not grant.suffices(view.current(grant.aggregate, grant.identifier)):
            raise ProblemError("forbidden", "The permission was revoked.")

    def shown(self, base: StreamState[S], owner: Callable[[S], str | None] | None) -> StreamState[S]:
        """A stream as the caller finds it: as none if it belongs to another, and they are confined to their own."""
        if self.confined_to is None or owner is None or base.state is None:
            return base
        return base if owner(base.state) == self.confined_to else ABSENT


NOTHING: Final = Authority()
"""No grants: for processes, and for anonymous callers."""


@functools.lru_cache(maxsize=AUTHORITIES_KEPT)
def authority_of(principal: Principal, requirement: Requirement) -> Authority:
    """The grants that the commands of a principal rely on."""
    if isinstance(requirement, Public | Known):
        return NOTHING
    return Authority(_grant_of(principal, requirement), principals.confined_to(principal, requirement))


def _grant_of(principal: Principal, requirement: Requirement) -> Grant | None:
    match principal.kind:
        case "account":
            return Grant(GRANTS, principal.id, partial(_still_may, principal, requirement))
        case "service":
            return Grant(CLIENT, principal.id, partial(_still_has_key, principal))
    return None


def _still_may(principal: Principal, requirement: Requirement, grants: Grants | None) -> bool:
    """Whether the roles of now suffice for what is required, and for no fewer objects than the caller counts on."""
    now = structs.replace(principal, permissions=permissions_of(() if grants is None else grants.roles))
    if not may_use(now, requirement):
        return False
    before = principals.confined_to(principal, requirement)
    return principals.confined_to(now, requirement) in (None, before)


def _still_has_key(principal: Principal, client: RegisteredClient | None) -> bool:
    return client is not None and principal.credential in client.keys
