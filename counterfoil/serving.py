"""Runs an HTTP process: SIGTERM turns readiness off, a moment later stops accepting, finishes what was begun, exits 0.

In that moment requests are still taken, and each answer ends its connection: load balancers learn that this process
is leaving, and callers on kept connections go elsewhere, before anything is closed under their hands.
"""

import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

import uvicorn

from runtime.http.application import PipelineApp
from runtime.http.protocol import PipelineProtocol

KEEP_ALIVE_S: Final = 65
"""Longer than clients keep idle connections, so that it is they who close them and no request meets a closed one."""

NOTICE_S: Final = 1.0
"""Between readiness turned off and the first connection closed; part of the time to drain."""

_LEAVING: Final = (b"connection", b"close")


def serve(app: PipelineApp, *, host: str, port: int, drain_s: float, on_drain: Callable[[], None]) -> None:
    """Serve until SIGTERM or SIGINT, then return once all begun requests are answered or `drain_s` have passed.

    Args:
        app: its lifespan opens and closes what it needs.
        host: address to listen on.
        port: TCP port.
        drain_s: seconds from SIGTERM that requests get to finish, notice included.
        on_drain: called in the signal handler, to turn readiness off.
    """
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        loop="uvloop",
        http=PipelineProtocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # nobody asks for the caller's address, so what a proxy says of it need not be read
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=max(1, math.ceil(drain_s - NOTICE_S)),
    )
    _Server(config, on_drain=on_drain).run()


class _Server(uvicorn.Server):
    """Uvicorn ends by raising the signal once more, so its exit code would be the signal's; ours is 0."""

    def __init__(self, config: uvicorn.Config, *, on_drain: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_drain = on_drain
        self._leaves_at: float | None = None

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        handled = (signal.SIGTERM, signal.SIGINT)
        before = {number: signal.signal(number, self._drain) for number in handled}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    async def on_tick(self, counter: int) -> bool:
        """Whether to stop accepting now; uvicorn asks ten times a second."""
        if self._leaves_at is not None and time.monotonic() >= self._leaves_at:
            self.should_exit = True
        return await super().on_tick(counter)

    def _drain(self, _number: int, _frame: FrameType | None) -> None:
        self._on_drain()
        if self._leaves_at is not None or not self.started:
            self.should_exit = True  # a second signal, or one before the start was over: at once
            return
        self._leaves_at = time.monotonic() + NOTICE_S
        self.config.encoded_headers.append(_LEAVING)
        self.server_state.default_headers = [*self.server_state.default_headers, _LEAVING]
