"""Consumers and views that operators paused: one row for each, made and removed by what carries out their acts."""

import time
from collections.abc import Callable, Sequence
from typing import Final

import psycopg

CHECK_EVERY_S: Final = 2.0
"""How often a consumer reads whether it is paused."""

Connection = psycopg.Connection[tuple[object, ...]]

_PAUSE: Final = """
insert into consumers.paused (consumer, act) values (%(consumer)s, %(act)s) on conflict (consumer) do nothing
"""
_RESUME: Final = "delete from consumers.paused where consumer = %(consumer)s"
_AMONG: Final = """
select consumer, act from consumers.paused where consumer = any(%(names)s) order by paused_at limit 1
"""
_ALL: Final = "select consumer from consumers.paused"


def pause(conn: Connection, consumer: str, *, act: int) -> None:
    """Pause a consumer, or the workers of a view."""
    conn.execute(_PAUSE, {"consumer": consumer, "act": act})


def resume(conn: Connection, consumer: str) -> None:
    """Resume it."""
    conn.execute(_RESUME, {"consumer": consumer})


def names(conn: Connection) -> frozenset[str]:
    """Everything that is paused."""
    return frozenset(str(name) for (name,) in conn.execute(_ALL).fetchall())


class Pause:
    """Whether one consumer is paused, by any of its names; read every other second."""

    def __init__(
        self, conn: Connection, names: Sequence[str], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._conn = conn
        self._names = list(names)
        self._clock = clock
        self._read_at_s = float("-inf")
        self.reason = ""
        """The reason of the pause; empty if it is not paused."""

    def holds(self) -> bool:
        """Whether it is paused now."""
        if self._names and self._clock() - self._read_at_s >= CHECK_EVERY_S:
            row = self._conn.execute(_AMONG, {"names": self._names}).fetchone()
            self.reason = "" if row is None else f"{row[0]}, by the act at position {row[1]}"
            self._read_at_s = self._clock()
        return self.reason != ""
