"""Roles and what each may do: the one table, from which docs/access.md is generated.

It stands below both APIs, because a token names roles and each API translates them into permissions itself: a role that
gains or loses a permission with a release does so for the tokens that are out, too. Contexts name permissions in
`requires=` only; what is not in this table nobody but the owner may do.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, Literal

Role = Literal[
    "guest",
    "customer",
    "support",
    "merchandiser",
    "warehouse",
    "finance",
    "auditor",
    "operator",
    "owner",
    "service",
]

_SHOPPER: Final = ("catalogue:read", "inventory:read", "orders:place")

PERMISSIONS: Final[Mapping[Role, frozenset[str]]] = MappingProxyType(
    {
        "guest": frozenset(_SHOPPER),
        "customer": frozenset(_SHOPPER),
        "support": frozenset(
            (
                *_SHOPPER,
                "orders:read",
                "orders:cancel",
                "shipments:read",
                "credit-notes:issue",
                "accounts:read",
                "effects:read",
            )
        ),
        "merchandiser": frozenset(
            ("catalogue:read", "catalogue:write", "inventory:read", "sales:read", "effects:read")
        ),
        "warehouse": frozenset(
            (
                *("catalogue:read", "inventory:read", "inventory:receive", "inventory:adjust"),
                *("orders:read", "orders:ship", "shipments:read", "shipments:label", "effects:read"),
            )
        ),
        "finance": frozenset(
            ("catalogue:read", "orders:read", "sales:read", "credit-notes:issue", "effects:read")
        ),
        "auditor": frozenset(
            (
                *(
                    "catalogue:read",
                    "inventory:read",
                    "orders:read",
                    "shipments:read",
                    "sales:read",
                    "accounts:read",
                ),
                *("audit:read", "effects:read", "operation:read"),
            )
        ),
        "operator": frozenset(("operate", "operation:read", "audit:read", "effects:read")),
        "owner": frozenset(
            (
                *(
                    "catalogue:read",
                    "catalogue:write",
                    "inventory:read",
                    "inventory:receive",
                    "inventory:adjust",
                ),
                *(
                    "orders:place",
                    "orders:read",
                    "orders:cancel",
                    "orders:ship",
                    "shipments:read",
                    "shipments:label",
                ),
                *("credit-notes:issue", "sales:read", "accounts:read", "accounts:write", "keys:write"),
                *("audit:read", "effects:read", "operation:read", "operate"),
            )
        ),
        "service": frozenset(
            (
                *(
                    "catalogue:read",
                    "catalogue:write",
                    "inventory:read",
                    "inventory:receive",
                    "inventory:adjust",
                ),
                *(
                    "orders:place",
                    "orders:read",
                    "orders:cancel",
                    "orders:ship",
                    "shipments:read",
                    "shipments:label",
                ),
                *("credit-notes:issue", "sales:read", "effects:read"),
            )
        ),
    }
)
"""Role → permissions. A service has those of its scopes, which are among these."""

FAIL_CLOSED: Final = frozenset(("accounts:write", "keys:write", "operate", "credit-notes:issue"))
"""Permissions that nobody is granted while it cannot be told whose tokens were revoked: what they do is not undone."""


def permissions_of(roles: Iterable[str]) -> frozenset[str]:
    """What these roles may do together; a role that this version does not know may do nothing."""
    known: frozenset[str] = frozenset()
    for role in roles:
        known |= PERMISSIONS.get(role, frozenset())  # type: ignore[call-overload]  # any text may be asked about
    return known
