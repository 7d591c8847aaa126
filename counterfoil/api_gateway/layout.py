"""Where a gateway listens, which processes of both APIs are behind it, and what it may do with their requests."""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from counterfoil.api_gateway.published import Api, PublishedRoute, published
from counterfoil.context import Contexts
from runtime import production
from runtime.http import limiting
from runtime.http.limiting import RouteClass
from runtime.http.preferences import WAIT_MAX_S
from runtime.settings import Settings, SettingsError

TRIES_MAX: Final = 4
"""How often one request is sent, the first time included."""
TRY_S: Final = 3.0
"""Time in which a process answers a request that may be sent to another one."""
WAITING_TRY_S: Final = WAIT_MAX_S + 2.0
"""The same of a request whose caller prefers to wait."""
ONCE_S: Final = 30.0
"""Time in which a request is answered that is sent once."""
PROBE_EVERY_S: Final = 1.0
"""Between two probes of a process, and the longest that its answer may take."""
PROBES_FAILED: Final = 2
"""So many in succession take a process out; one that succeeds takes it in again."""
FAILURES_MAX: Final = 3
"""Requests in succession without an answer that take a process out before a probe does."""
OUT_S: Final = 5.0
"""How long such a process gets no requests at first."""
RETRIED_PERCENT_MAX: Final = 50
"""Of the requests in flight as many may be repetitions: one of two processes may be lost."""
RETRIED_MIN: Final = 32
"""Repetitions in flight that are allowed however few requests there are."""
ADDRESSES_MAX: Final = 65_536
"""Addresses whose requests are counted at one time."""
WEIGHT_MAX: Final = 128

_PLACE: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})(?:=([0-9]{1,3}))?")


class ApiAddress(Struct, frozen=True):
    """A process of an API, and its share of the requests in relation to the others."""

    host: str
    port: int
    weight: int = 1

    @property
    def authority(self) -> str:
        """Host and port as in a URL (RFC 3986, section 3.2)."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class TokenBucket(Struct, frozen=True):
    """A token bucket of one address: so many at first, and so many more every second."""

    most: int
    per_s: int


class Treatment(Struct, frozen=True, order=True):
    """One way for requests to pass, where it belongs to more than a route; `try_s`: how long one process may take."""

    api: Api
    route_class: RouteClass
    again: bool
    try_s: float

    @classmethod
    def once(cls, route: PublishedRoute) -> "Treatment":
        """That of a request that is never sent again."""
        return cls(route.api, route.route_class, again=False, try_s=ONCE_S)

    @classmethod
    def repeated(cls, route: PublishedRoute, *, waiting: bool) -> "Treatment":
        """That of a request that another process may get; `waiting`: its caller prefers to wait."""
        return cls(route.api, route.route_class, again=True, try_s=WAITING_TRY_S if waiting else TRY_S)


class Layout(Struct, frozen=True):
    """All that a configuration is generated from; files are those of the gateway's machine."""

    routes: tuple[PublishedRoute, ...]
    listens: ApiAddress
    targets: dict[Api, tuple[ApiAddress, ...]]
    buckets: dict[RouteClass, TokenBucket]
    verifies_tokens: bool
    origins: tuple[str, ...] = ()
    """Of web pages that may call."""
    certificate: Path | None = None
    key: Path | None = None
    upstream_ca: Path | None = None
    upstream_certificate: Path | None = None


class Places(Struct, frozen=True):
    """What only an operator knows: addresses as `host:port`, those of processes with `=weight`, and files."""

    listen: str = "127.0.0.1:8000"
    command_api: Sequence[str] = ()
    query_api: Sequence[str] = ()
    certificate: Path | None = None
    key: Path | None = None
    upstream_ca: Path | None = None
    upstream_certificate: Path | None = None


def layout(settings: Settings, places: Places, *, contexts: Contexts | None = None) -> Layout:
    """What a gateway of this installation is.

    Raises:
        SettingsError: an address cannot be, a context cannot be had, or production would be reached in plain text.
    """
    listens = target(places.listen)
    targets: dict[Api, tuple[ApiAddress, ...]] = {
        "command_api": _targets(places.command_api, settings.command_api_host, settings.command_api_port),
        "query_api": _targets(places.query_api, settings.query_api_host, settings.query_api_port),
    }
    if settings.profile == "production":
        _require_encrypted(listens, targets, places)
    return Layout(
        routes=published(settings, contexts=contexts),
        listens=listens,
        targets=targets,
        buckets=buckets_of(settings),
        verifies_tokens=settings.identity == "accounts",
        origins=settings.allowed_origins,
        certificate=places.certificate,
        key=places.key or places.certificate,
        upstream_ca=places.upstream_ca,
        upstream_certificate=places.upstream_certificate,
    )


def buckets_of(settings: Settings) -> dict[RouteClass, TokenBucket]:
    """The limits by address as buckets that refuse nothing which the APIs would let pass.

    A bucket as large as the limit of a minute, filled as fast as the limit allows, never runs dry for a caller who
    keeps to the limit in every minute; what goes beyond is refused exactly by the APIs.
    """
    return {
        route_class: TokenBucket(quota.most, math.ceil(quota.most / quota.window_s))
        for (route_class, kind), quota in limiting.limits_of(settings).items()
        if kind == "address"
    }


def target(text: str) -> ApiAddress:
    """The address in a text.

    Raises:
        SettingsError: there is none.
    """
    found = _PLACE.fullmatch(text)
    weight = int(found[3] or 1) if found else 0
    if found is None or not 0 < int(found[2]) <= 65_535 or not 0 < weight <= WEIGHT_MAX:
        raise SettingsError(
            f"{text!r} is no address: host:port, or host:port=weight with a weight from 1 to {WEIGHT_MAX}"
        )
    return ApiAddress(found[1].strip("[]"), int(found[2]), weight)


def _targets(given: Sequence[str], host: str, port: int) -> tuple[ApiAddress, ...]:
    return tuple(map(target, given)) or (ApiAddress(host, port),)


def _require_encrypted(
    listens: ApiAddress, targets: dict[Api, tuple[ApiAddress, ...]], places: Places
) -> None:
    if places.certificate is None and production.is_elsewhere(listens.host):
        raise SettingsError("the production profile: a gateway that other machines reach needs --certificate")
    everywhere = [each.host for of_api in targets.values() for each in of_api]
    if places.upstream_ca is None and any(map(production.is_elsewhere, everywhere)):
        raise SettingsError("the production profile: APIs on other machines are reached with --upstream-ca")
