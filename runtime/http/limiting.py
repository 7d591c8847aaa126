"""How many requests a caller may send: by class of the route and kind of the caller, before and after it is known.

`docs/limits.md` has the table. The production profile has these limits unless a setting says otherwise; development has
those that are set.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, get_args

from runtime.http.access import COUNTED_EXACTLY
from runtime.http.caller_address import network_of
from runtime.http.exchange import Exchange
from runtime.http.principal import Public, Requirement, permission_of
from runtime.problems import ProblemError
from runtime.quotas.limiter import Limiter
from runtime.quotas.quota import Quota
from runtime.settings import PREFIX, Settings, SettingsError

RouteClass = Literal["read", "write", "login"]
"""What a request does: reads, writes, or proves who its caller is and needs no token."""

CallerKind = Literal["address", "guest", "account", "service"]
"""By what it is counted: the address that it comes from, before anybody is known, or the kind of the principal."""

Limits = Mapping[tuple[RouteClass, CallerKind], Quota]

PRODUCTION: Final[Mapping[str, int]] = MappingProxyType(
    {
        "read:address": 6_000,
        "write:address": 1_200,
        "login:address": 120,
        "read:guest": 600,
        "write:guest": 60,
        "read:account": 1_200,
        "write:account": 300,
        "read:service": 30_000,
        "write:service": 30_000,
    }
)
"""Requests in any minute, as the setting spells them."""

_UNCOUNTED: Final = frozenset(("/livez", "/readyz", "/metrics"))
"""Load balancers ask for them all the time, from few addresses."""
_READS: Final = frozenset(("GET", "HEAD", "OPTIONS"))


def limits_of(settings: Settings) -> Limits:
    """The limits of an installation; 0 says that there is none.

    Raises:
        SettingsError: the setting names what there is not.
    """
    per_minute = dict(PRODUCTION) if settings.profile == "production" else {}
    for each in (settings.limits or "").replace(",", " ").split():
        name, _, given = each.partition("=")
        if name not in PRODUCTION or not given.isdecimal():
            raise SettingsError(
                f"{PREFIX}LIMITS: {each!r} is no limit: a limit is one of {', '.join(PRODUCTION)}, `=` and a number"
            )
        per_minute[name] = int(given)
    return {
        (route_class, kind): Quota(f"{route_class}-{kind}", number)
        for route_class in get_args(RouteClass)
        for kind in get_args(CallerKind)
        if (number := per_minute.get(f"{route_class}:{kind}", 0))
    }


class RequestLimits:
    """The two steps of the pipeline that count requests."""

    def __init__(self, limits: Limits, limiter: Limiter) -> None:
        """Without limits nothing is counted."""
        self._limits = limits
        self.limiter = limiter

    @property
    def count_reads(self) -> bool:
        """Whether a read has to wait to be counted."""
        return any(route_class == "read" for route_class, _ in self._limits)

    async def by_address(self, exchange: Exchange) -> None:
        """Count a request by where it comes from.

        Raises:
            ProblemError: `too-many-requests`, `limits-unavailable`.
        """
        if self._limits:
            await self._take(exchange, "address", network_of(exchange.address))

    async def by_principal(self, exchange: Exchange) -> None:
        """Count a request by who sent it.

        Raises:
            ProblemError: as above.
        """
        principal = exchange.principal
        if self._limits and principal.kind in {"guest", "account", "service"}:
            await self._take(exchange, principal.kind, principal.actor)

    async def _take(self, exchange: Exchange, kind: CallerKind, subject: str) -> None:
        assert exchange.route is not None, "matched before"
        quota = self._limits.get((class_of(exchange.scope["method"], exchange.route.requires), kind))
        if quota is None or exchange.route.path in _UNCOUNTED:
            return
        allowance = await self.limiter.take(quota, subject)
        exchange.allowances.append(allowance)
        if not allowance.passes:
            raise allowance.refusal(
                "too-many-requests",
                f"The limit {quota.name} has been reached: {quota.most} in {quota.window_s} s.",
            )
        exactly = permission_of(exchange.route.requires) in COUNTED_EXACTLY
        if exactly and self.limiter.is_shared and allowance.source != "shared":
            raise ProblemError("limits-unavailable", "The request needs a limit that is counted exactly.")


def class_of(method: str, requires: Requirement) -> RouteClass:
    """What a request of a method does, to a route that requires this."""
    if method in _READS:
        return "read"
    return "login" if isinstance(requires, Public) else "write"
