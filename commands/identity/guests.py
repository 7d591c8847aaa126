"""Guests: who buys without an account has a token for a day, and what it was used for belongs to it.

Nothing is kept of a guest, neither in the vault nor in the log: the token says who it is, and the orders that it places
name it.
"""

from typing import Final

from msgspec import Struct

from commands.calls import uuid7
from commands.identity.sessions import Sessions
from runtime.http.caller_address import network_of
from runtime.identity.lifetimes import GUEST_LIFETIME_S
from runtime.identity.tokens import Claims, sign
from runtime.quotas.limiter import Limiter
from runtime.quotas.quota import Quota

WINDOW_S: Final = 300
"""Seconds in which an address of the network is given so many tokens."""


class GuestToken(Struct, frozen=True):
    """A token of a guest, and the guest that it names."""

    guest_id: str
    access_token: str
    expires_in: int


class Guests(Struct, frozen=True):
    """Gives tokens to guests."""

    sessions: Sessions
    limiter: Limiter
    per_address_max: int
    """In the window; 0: addresses are not limited."""

    async def token(self, address: str) -> GuestToken:
        """A token of a guest who was never here before.

        Raises:
            ProblemError: the address was given too many, or the key that signs cannot be read.
        """
        if self.per_address_max:
            quota = Quota("guest-tokens", self.per_address_max, WINDOW_S)
            allowance = await self.limiter.take(quota, network_of(address))
            if not allowance.passes:
                raise allowance.refusal(
                    "too-many-requests",
                    "This address of the network was given as much as it may have in five minutes.",
                )
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
