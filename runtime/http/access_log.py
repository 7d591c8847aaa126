"""The access log: which request was answered how. Rejected ones can be found by their correlation id."""

import time
from collections.abc import Callable
from typing import Final, Literal

import structlog

from runtime.http.principal import Principal

Mode = Literal["off", "sampled", "on"]

REJECTED_PER_SECOND_MAX: Final = 20
"""Lines that a sampled log writes of rejected requests in one second; what it leaves out is counted in a later line."""

ACCEPTED_ONE_IN: Final = 1_000
"""Of how many accepted requests a sampled log writes one."""

log = structlog.get_logger()


class AccessLog:
    """Writes a line for each answer, or for some: those rejected first."""

    def __init__(self, mode: Mode, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._mode = mode
        self._clock = clock
        self._second = 0
        self._rejected = 0
        self._accepted = 0
        self._left_out = 0

    def wrote(
        self, method: str, route: str, *, status: int, code: str | None, principal: Principal, seconds: float
    ) -> None:
        """Note one answer; `code` is that of its problem. The correlation id is bound already."""
        if self._mode == "off" or (self._mode == "sampled" and not self._is_sampled(status)):
            return
        left_out, self._left_out = self._left_out, 0
        details = {"code": code} if code else {}
        if left_out:
            details["left_out"] = str(left_out)
        log.info(
            "request_answered",
            method=method,
            route=route,
            status=status,
            actor=principal.actor,
            milliseconds=round(seconds * 1000, 1),
            **details,
        )

    def _is_sampled(self, status: int) -> bool:
        if status < 400:
            self._accepted += 1
            return self._accepted % ACCEPTED_ONE_IN == 0
        second = int(self._clock())
        if second != self._second:
            self._second, self._rejected = second, 0
        self._rejected += 1
        if self._rejected <= REJECTED_PER_SECOND_MAX:
            return True
        self._left_out += 1
        return False
