"""How far relay, process managers and views are behind the log, from the query API; waits until nothing moves."""

import time
from collections.abc import Iterator

import msgspec

from examples.online_retail.errors import NeverCaughtUp
from examples.online_retail.shop import Shop

POLL_EVERY_S = 0.25
STANDSTILL_MAX_S = 300.0  # without any worker moving: a killed worker or server is back long before


class _Head(msgspec.Struct):
    position: int


class _Lag(msgspec.Struct):
    lag_events: int
    name: str = "relay"


class Lags(msgspec.Struct):
    """Answer of GET /v1/status: the head of the log and how far behind it everybody is."""

    log: _Head
    relay: _Lag
    views: list[_Lag]
    process_managers: list[_Lag]

    def behind(self) -> dict[str, int]:
        """Events still to come, by name, for everybody who does not stand at the head."""
        everybody = (self.relay, *self.views, *self.process_managers)
        return {one.name: one.lag_events for one in everybody if one.lag_events}


def lags(shop: Shop) -> Lags:
    """How far behind everybody is now."""
    return shop.ask("/status", Lags)


def settled_heads(shop: Shop) -> Iterator[int | None]:
    """Yield over and over the head at which everybody stood twice in a row, or None while something moves.

    Two equal answers are one full pass at an unchanged head: whatever a process manager still appended between reading
    the one worker and the next would have moved the head by the second answer.

    Raises:
        NeverCaughtUp: nothing moved for longer than `STANDSTILL_MAX_S` although somebody is behind.
    """
    previous = lags(shop)
    moved_at = time.monotonic()
    while True:
        current = lags(shop)
        settled = current == previous and current.views and not current.behind()
        if settled or current != previous:
            moved_at = time.monotonic()
        elif time.monotonic() - moved_at > STANDSTILL_MAX_S:
            raise NeverCaughtUp(_standstill(current))
        previous = current
        yield current.log.position if settled else None
        if not settled:
            time.sleep(POLL_EVERY_S)


def wait_until_caught_up(shop: Shop) -> int:
    """Return the head of the log once everybody stands there."""
    return next(head for head in settled_heads(shop) if head is not None)


def _standstill(current: Lags) -> str:
    behind = ", ".join(f"{name} {lag:,}" for name, lag in current.behind().items())
    return (
        f"nothing moved for {STANDSTILL_MAX_S:.0f} s and these are still behind the log's head "
        f"{current.log.position:,} by events: {behind}; see `counterfoil status` and `counterfoil doctor`"
    )
