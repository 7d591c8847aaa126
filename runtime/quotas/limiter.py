"""Decides whether something passes: by the count that all processes share, or by this process's part of it.

A Redis that is slow or down costs a request 40 ms, three of them at most; then it is left alone for a while. Meanwhile
each process gives away its part of the quota, what it let pass before included. That is exact as long as one of the two
answers; in the window in which they change, twice the quota can pass.
"""

import contextlib
import time
from collections.abc import AsyncIterator, Callable

from prometheus_client import CollectorRegistry

from runtime.breaker import Breaker
from runtime.quotas.quota import Allowance, Quota
from runtime.quotas.shared_windows import SharedWindows, WindowsUnavailable
from runtime.quotas.windows import Windows
from runtime.settings import Settings
from runtime.telemetry import Tally


class Limiter:
    """The limits of one process."""

    def __init__(
        self,
        *,
        shared: SharedWindows | None,
        processes: int,
        registry: CollectorRegistry | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`processes` share a quota where `shared` does not answer, or is None."""
        self._shared = shared
        self._processes = processes
        self._local = Windows(clock=clock)
        self._clock = clock
        self._breaker = Breaker()
        self._decisions = Tally(
            "counterfoil_limit_decisions",
            "Requests that were counted, by limit, by who decided (shared or local), and whether they passed",
            ["limit", "source", "verdict"],
            registry=registry,
        )

    @property
    def is_shared(self) -> bool:
        """Whether there is a count that processes share; it may not answer."""
        return self._shared is not None

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Count for the length of a block."""
        if self._shared is None:
            yield
            return
        async with self._shared:
            yield

    async def take(self, quota: Quota, subject: str) -> Allowance:
        """Count one more for a caller, if the quota allows it."""
        allowance = await self._by_all(quota, subject)
        if allowance is None:
            allowance = self._local.take(quota.part(self._processes), subject)
        elif allowance.passes:
            self._local.note(quota, subject)
        self._decisions.add(quota.name, allowance.source, "passed" if allowance.passes else "refused")
        return allowance

    async def _by_all(self, quota: Quota, subject: str) -> Allowance | None:
        if self._shared is None or not self._breaker.allows(self._clock()):
            return None
        try:
            allowance = await self._shared.take(quota, subject)
        except WindowsUnavailable:
            self._breaker.failed(self._clock())
            return None
        self._breaker.succeeded()
        return allowance


def limiter_of(settings: Settings, *, registry: CollectorRegistry) -> Limiter:
    """The limiter of an API process."""
    url = settings.redis_url
    shared = None if url is None else SharedWindows(url.get_secret_value())
    return Limiter(shared=shared, processes=settings.api_processes, registry=registry)
