"""Guests: who buys without an account has a token for a day, and what it was used for belongs to it.

Nothing is kept of a guest, neither in the vault nor in the log: the token says who it is, and the orders that it places
name it.
"""

import ipaddress
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from commands.calls import uuid7
from commands.identity.sessions import Sessions
from runtime.identity.tokens import GUEST_LIFETIME_S, Claims, sign
from runtime.problems import ProblemError

WINDOW_S: Final = 300.0
ADDRESSES_MAX: Final = 50_000
"""Addresses that one process counts for; the one that asked first is forgotten."""

_IPV6_NETWORK_BITS: Final = 64
"""What one customer of a provider has at least: all of it counts as one address."""


class GuestToken(Struct, frozen=True):
    """A token of a guest, and the guest that it names."""

    guest_id: str
    access_token: str
    expires_in: int


class PerAddress:
    """Counts what an address of the network was given lately; each process counts for itself."""

    def __init__(self, most: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`most` in five minutes; 0: addresses are not limited."""
        self._most = most
        self._clock = clock
        self._given: dict[str, deque[float]] = {}

    def take(self, address: str) -> None:
        """Count one more.

        Raises:
            ProblemError: `too-many-requests`.
        """
        if not self._most:
            return
        now = self._clock()
        given = self._given.setdefault(_network_of(address), deque())
        while given and given[0] <= now - WINDOW_S:
            given.popleft()
        if len(given) >= self._most:
            raise ProblemError(
                "too-many-requests",
                "This address of the network was given as much as it may have in five minutes.",
                headers={"retry-after": str(int(given[0] + WINDOW_S - now) + 1)},
            )
        given.append(now)
        if len(self._given) > ADDRESSES_MAX:
            del self._given[next(iter(self._given))]


class Guests(Struct, frozen=True):
    """Gives tokens to guests."""

    sessions: Sessions
    limit: PerAddress

    async def token(self, address: str) -> GuestToken:
        """A token of a guest who was never here before.

        Raises:
            ProblemError: the address was given too many, or the key that signs cannot be read.
        """
        self.limit.take(address)
        now = self.sessions.accounts.recorder.clock()
        guest_id, issued_at = uuid7(now), int(now.timestamp())
        claims = Claims(
            iss=self.sessions.issuer,
            sub=guest_id,
            sid=guest_id,
            jti=guest_id,
            client_id="shop",
            kind="guest",
            roles=("guest",),
            iat=issued_at,
            exp=issued_at + GUEST_LIFETIME_S,
        )
        signed = sign(claims, await self.sessions.signing.key())
        return GuestToken(guest_id, signed, GUEST_LIFETIME_S)


def _network_of(address: str) -> str:
    """What counts as one address: of IPv6 the network that a customer has."""
    try:
        given = ipaddress.ip_address(address)
    except ValueError:
        return address
    if given.version == 4:
        return address
    return str(ipaddress.ip_network((int(given), _IPV6_NETWORK_BITS), strict=False))
