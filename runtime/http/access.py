"""Roles and what each may do: the one table, from which docs/access.md is generated.

It stands below both APIs, because a token names roles and each API translates them into permissions itself: a role that
gains or loses a permission with a release does so for the tokens that are out, too. Contexts name permissions in
`requires=` only; what is not in this table nobody but the owner may do.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, Literal

from runtime.actors import Kind
from runtime.http.principal import Known, Principal, Public, Requirement, confined_to, may_use

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


def _may(*permissions: str) -> frozenset[str]:
    """The permissions in these texts."""
    return frozenset(" ".join(permissions).split())


_SHOPS: Final = "catalogue:read inventory:read pricing:read pricing:quote"
_BUYS: Final = "own-orders:place own-orders:read own-orders:cancel own-customers:read own-customers:write"
_PAYS: Final = "own-payments:pay own-payments:read"
_CHARGES: Final = "payments:pay payments:read payments:capture payments:refund payments:record ledger:read"
_SELLS: Final = (
    "catalogue:read catalogue:write inventory:read pricing:read pricing:write pricing:quote promotions:read"
)
_SELF: Final = "own-accounts:read"
_FILLS: Final = "own-carts:read own-carts:write"
_STORES: Final = "catalogue:read inventory:read inventory:receive inventory:adjust"
_SHIPS: Final = "orders:read orders:ship shipments:read shipments:label shipments:lose"
_KNOWS: Final = "customers:read customers:write customers:merge customers:erase"
_SUPPORTS: Final = (
    "orders:place orders:read orders:cancel orders:hold shipments:read shipments:lose shipments:settle"
    " credit-notes:issue carts:read carts:write promotions:read coupons:redeem mails:read mails:send"
)

PERMISSIONS: Final[Mapping[Role, frozenset[str]]] = MappingProxyType(
    {
        "guest": _may(_SHOPS, _BUYS, _PAYS, _FILLS),
        "customer": _may(_SHOPS, _BUYS, _PAYS, _FILLS, _SELF, "own-customers:erase"),
        "support": _may(_SHOPS, _SUPPORTS, _KNOWS, "payments:pay payments:read", _SELF, "effects:read"),
        "merchandiser": _may(_SELLS, _SELF, "sales:read effects:read"),
        "warehouse": _may(_STORES, _SHIPS, _SELF, "customers:read effects:read"),
        "finance": _may(
            "catalogue:read orders:read customers:read sales:read credit-notes:issue effects:read",
            "pricing:read pricing:quote promotions:read tax:write",
            _CHARGES,
            _SELF,
        ),
        "auditor": _may(
            "catalogue:read inventory:read carts:read orders:read shipments:read customers:read sales:read",
            "accounts:read pricing:read promotions:read",
            "payments:read ledger:read mails:read audit:read effects:read operation:read status:read",
        ),
        "operator": _may(_SELF, "operate operation:read status:read mails:read audit:read effects:read"),
        "owner": _may(
            *(
                _SHOPS,
                _SELLS,
                _STORES,
                _SHIPS,
                _SUPPORTS,
                _KNOWS,
                _CHARGES,
                "customers:hold sales:read tax:write",
            ),
            "accounts:read accounts:write keys:write tokens:introspect",
            "operate operation:read status:read audit:read effects:read",
        ),
        "service": _may(
            *(
                _SHOPS,
                _SELLS,
                _STORES,
                _SHIPS,
                _SUPPORTS,
                _KNOWS,
                _CHARGES,
                "customers:hold sales:read tax:write",
            ),
            "effects:read status:read tokens:introspect personal:reveal",
        ),
    }
)
"""Role → permissions. A service has those of its scopes, which are among these. `own-`: for one's own objects alone."""

Sight = Literal["plain", "mask", "sealed"]
"""How much of a personal field is shown: the text, a mask that tells it from others, or that there is one."""

SIGHTS: Final[Mapping[Role, Sight]] = MappingProxyType(
    {
        "guest": "sealed",
        "customer": "sealed",
        "support": "plain",
        "merchandiser": "sealed",
        "warehouse": "mask",
        "finance": "mask",
        "auditor": "sealed",
        "operator": "sealed",
        "owner": "plain",
        "service": "sealed",
    }
)
"""Role → how much of others' personal data it is shown. One's own everybody is shown."""

_BEST_FIRST: Final[tuple[Sight, ...]] = ("plain", "mask", "sealed")

REVEAL: Final = "personal:reveal"
"""The scope of a program that is shown personal data; each use is an event."""

FAIL_CLOSED: Final = frozenset(
    ("accounts:write", "keys:write", "operate", "credit-notes:issue", "customers:erase", "payments:refund")
)
"""Permissions that nobody is granted while revoked tokens are not known: what they do is not undone."""

COUNTED_EXACTLY: Final = frozenset(("credit-notes:issue", "customers:erase", "payments:refund"))
"""Permissions of routes that are refused while a limit cannot be counted by all processes together."""


_KINDS: Final[Mapping[Role, Kind]] = MappingProxyType({"guest": "guest", "service": "service"})
"""Who has a role that no account has."""

Verdict = Literal["everybody", "known", "all", "own", "none"]
"""Who may use a route: everybody, all who are known, or who has a role: for all objects, for its own, or not at all."""


def verdict(role: Role, requirement: Requirement) -> Verdict:
    """What the table says of a role and what a route requires."""
    if isinstance(requirement, Public):
        return "everybody"
    principal = Principal(_KINDS.get(role, "account"), "somebody", permissions=PERMISSIONS[role])
    if not may_use(principal, requirement):
        return "none"
    if isinstance(requirement, Known):
        return "known"
    return "all" if confined_to(principal, requirement) is None else "own"


def sight(principal: Principal, *, own: bool) -> Sight:
    """How much of the personal data in an answer a principal is shown; `own`: the answer is about themselves."""
    if own or principal.permissions is None or reveals(principal):
        return "plain"
    seen = {SIGHTS.get(role, "sealed") for role in principal.roles}  # type: ignore[call-overload]  # any text
    return next((each for each in _BEST_FIRST if each in seen), "sealed")


def reveals(principal: Principal) -> bool:
    """Whether a principal is shown personal data because of the scope of its key."""
    return (
        principal.kind == "service" and principal.permissions is not None and REVEAL in principal.permissions
    )


def permissions_of(roles: Iterable[str]) -> frozenset[str]:
    """What these roles may do together; a role that this version does not know may do nothing."""
    known: frozenset[str] = frozenset()
    for role in roles:
        known |= PERMISSIONS.get(role, frozenset())  # type: ignore[call-overload]  # any text may be asked about
    return known
