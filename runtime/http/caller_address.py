"""Which address of the network a request comes from: its peer's, unless that is a proxy that is trusted to say."""

import functools
import ipaddress
from collections.abc import Sequence
from typing import Final

from runtime.http.exchange import Exchange
from runtime.settings import PREFIX, Settings, SettingsError

_FORWARDED_FOR: Final = b"x-forwarded-for"
_IPV6_NETWORK_BITS: Final = 64
"""What one customer of a provider has at least: all of it counts as one address."""
HOPS_MAX: Final = 16
"""Addresses of the header that are read, from its end on."""
NETWORKS_KEPT: Final = 4_096
"""Addresses whose network is remembered: every request asks for it."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def trusted_proxies(settings: Settings) -> tuple[Network, ...]:
    """The networks of one's own proxies.

    Raises:
        SettingsError: one of them is none.
    """
    given = settings.trusted_proxies
    try:
        return tuple(ipaddress.ip_network(each.strip()) for each in given.split(",")) if given else ()
    except ValueError as error:
        raise SettingsError(f"{PREFIX}TRUSTED_PROXIES: {error}") from None


class CallerAddresses:
    """Reads X-Forwarded-For from its end, as far as each next hop is said by a proxy that is trusted.

    What stands before the first address that is not trusted was written by the caller, who may write anything.
    """

    def __init__(self, trusted: Sequence[Network]) -> None:
        """`trusted`: the networks of one's own proxies."""
        self._trusted = trusted

    def of(self, exchange: Exchange) -> str:
        """The address that a request is counted by; empty where there is none, as over a socket of the machine."""
        client = exchange.scope.get("client")
        peer = "" if client is None else str(client[0])
        if not self._trusted or not self._trusts(_parsed(peer)):
            return peer
        hops = [
            hop.strip()
            for name, value in exchange.headers
            if name == _FORWARDED_FOR
            for hop in value.decode("latin-1").split(",")
        ]
        nearest = peer
        for hop in reversed(hops[-HOPS_MAX:]):
            address = _parsed(hop)
            if address is None:
                return nearest
            nearest = str(address)
            if not self._trusts(address):
                return nearest
        return nearest

    def _trusts(self, address: Address | None) -> bool:
        return address is not None and any(address in network for network in self._trusted)


@functools.lru_cache(maxsize=NETWORKS_KEPT)
def network_of(address: str) -> str:
    """What counts as one address: of IPv6 the network that a customer has."""
    parsed = _parsed(address)
    if parsed is None or parsed.version == 4:
        return address
    return str(ipaddress.ip_network((int(parsed), _IPV6_NETWORK_BITS), strict=False))


def _parsed(text: str) -> Address | None:
    """The address; an IPv4 one that came over an IPv6 socket is one of IPv4."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
