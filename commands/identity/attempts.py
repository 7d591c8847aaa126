"""Failed logins, counted by account and by address of the network, so that passwords cannot be tried out.

All processes count together, in the vault: where it cannot be reached, nobody logs in anyway. A count is of the last
minutes only, so nobody is locked out for longer than somebody keeps trying.
"""

from datetime import datetime, timedelta
from typing import Final, Literal

from msgspec import Struct

from commands.identity import vault
from runtime.http.caller_address import network_of
from runtime.quotas.quota import Allowance, Quota

WINDOW_S: Final = 300
FAILURES_PER_ACCOUNT_MAX: Final = 10
"""In the window; somebody who forgot a password needs fewer."""

_BEGIN: Final = "select begun_at, wait from vault.begin_attempt(%s, %s, %s)"
_SUCCEEDED: Final = """
update vault.attempt a set times = array_remove(a.times, %s)
where a.name in (select l.name from vault.attempt l where l.name = any(%s) order by l.name for update)
"""
_FORGET: Final = (
    "delete from vault.attempt where times[cardinality(times)] < clock_timestamp() - %s or times = '{}'"
)
_WINDOW: Final = timedelta(seconds=WINDOW_S)


class Attempt(Struct, frozen=True):
    """A login that began, as it is counted."""

    names: tuple[str, ...]
    at: datetime


class Attempts:
    """Counts what began and did not succeed."""

    def __init__(self, pool: vault.Pool, *, what: Literal["login", "link"], per_address_max: int) -> None:
        """`per_address_max` failures of one address in the window; 0: addresses are not limited."""
        self._pool = pool
        self._what = what
        self._per_address_max = per_address_max

    async def begin(self, *, account: str, address: str) -> Attempt:
        """Count a login before anything is done for it.

        Raises:
            ProblemError: `too-many-attempts`, `store-unavailable`.
        """
        limits = {f"{self._what} account {account}": FAILURES_PER_ACCOUNT_MAX}
        if self._per_address_max:
            limits[f"{self._what} address {network_of(address)}"] = self._per_address_max
        names = tuple(limits)
        async with vault.connected(self._pool) as connection:
            found = await connection.execute(_BEGIN, [list(names), list(limits.values()), _WINDOW])
            begun_at, wait = await found.fetchone() or (None, None)
        if wait is not None:
            quota = Quota("attempts", FAILURES_PER_ACCOUNT_MAX, WINDOW_S)
            raise Allowance(quota, False, 0, wait.total_seconds()).refusal(
                "too-many-attempts",
                "Too many attempts lately, for this account or from this address of the network.",
            )
        assert begun_at is not None, "a function answers a row"
        return Attempt(names, begun_at)

    async def succeeded(self, attempt: Attempt) -> None:
        """Forget what was counted: an account whose password is known is not being guessed.

        Raises:
            ProblemError: `store-unavailable`.
        """
        async with vault.connected(self._pool) as connection:
            await connection.execute(_SUCCEEDED, [attempt.at, list(attempt.names)])

    async def forget(self) -> None:
        """Delete what counts no more.

        Raises:
            ProblemError: `store-unavailable`.
        """
        async with vault.connected(self._pool) as connection:
            await connection.execute(_FORGET, [_WINDOW])
