"""Leases: where only one may be active, a row names the owner and a counter that its owner keeps moving.

A standby takes over when the counter has stood still for `TAKEOVER_AFTER_S` on the standby's own monotonic
clock; no two clocks are ever compared. A lease alone fences nothing: its holder also says `where owner
= me` in every update that matters, because an owner may be paused and wake up after losing it.
"""

import os
import secrets
import socket
import time
from collections.abc import Callable
from typing import Final

import psycopg

TAKEOVER_AFTER_S: Final = 5.0
RENEW_EVERY_S: Final = 1.0

_CREATE: Final = "insert into runtime.lease (name) values (%(name)s) on conflict (name) do nothing"
_READ: Final = "select owner, counter from runtime.lease where name = %(name)s"
_TAKE: Final = """
update runtime.lease set owner = %(owner)s, counter = counter + 1, renewed_at = clock_timestamp()
where name = %(name)s and counter = %(counter)s and owner is not distinct from %(seen_owner)s
"""
_RENEW: Final = """
update runtime.lease set counter = counter + 1, renewed_at = clock_timestamp()
where name = %(name)s and owner = %(owner)s
"""
_GIVE_BACK: Final = """
update runtime.lease set owner = null, counter = counter + 1, renewed_at = clock_timestamp()
where name = %(name)s and owner = %(owner)s
"""


def new_owner() -> str:
    """Name this process for lease rows: host, process id, and a random part, since ids are used again."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


class Lease:
    """One contender for a lease. The connection is in autocommit mode and used by one thread."""

    def __init__(
        self,
        conn: psycopg.Connection[tuple[object, ...]],
        *,
        name: str,
        owner: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.owner = owner
        self.terms = 0
        """How often this contender got the lease: what was cached in an earlier term is not to be trusted."""
        self._conn = conn
        self._clock = clock
        self._held = False
        self._renewed_at = 0.0
        self._seen: tuple[object, object] | None = None
        self._seen_at = 0.0

    @property
    def held(self) -> bool:
        """Whether the last `hold` got the lease."""
        return self._held

    def hold(self) -> bool:
        """Take, keep or renew the lease, whatever is due; say whether it is ours.

        Cheap enough for every round of a loop: a holder writes once in `RENEW_EVERY_S`.
        """
        if not self._held:
            return self._try_to_take()
        if self._clock() - self._renewed_at >= RENEW_EVERY_S:
            self.renew()
        return self._held

    def renew(self) -> bool:
        """Move the counter now; False when somebody else took over."""
        started_at = self._clock()
        renewed = self._conn.execute(_RENEW, {"name": self.name, "owner": self.owner})
        self._held = renewed.rowcount == 1
        self._renewed_at = started_at
        self._seen = None
        return self._held

    def give_back(self) -> None:
        """Let a standby take over at once."""
        if self._held:
            self._conn.execute(_GIVE_BACK, {"name": self.name, "owner": self.owner})
            self._held = False

    def _try_to_take(self) -> bool:
        now = self._clock()
        row = self._conn.execute(_READ, {"name": self.name}).fetchone()
        if row is None:
            self._conn.execute(_CREATE, {"name": self.name})
            row = self._conn.execute(_READ, {"name": self.name}).fetchone()
        assert row is not None, "a lease is never deleted"
        seen_owner, counter = row
        if row != self._seen:
            self._seen, self._seen_at = (seen_owner, counter), now
        free = seen_owner is None or seen_owner == self.owner
        if not free and now - self._seen_at < TAKEOVER_AFTER_S:
            return False
        parameters = {"name": self.name, "owner": self.owner, "counter": counter, "seen_owner": seen_owner}
        taken = self._conn.execute(_TAKE, parameters)
        if taken.rowcount == 1:
            self._held, self._renewed_at, self._seen = True, now, None
            self.terms += 1
        return self._held
