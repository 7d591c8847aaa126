"""Runs an HTTP process: SIGTERM turns readiness off, stops accepting, finishes what was begun, and exits 0."""

import math
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

import uvicorn
from fastapi import FastAPI

KEEP_ALIVE_S: Final = 65
"""Longer than clients keep idle connections, so that it is they who close them and no request meets a closed one."""


def serve(app: FastAPI, *, host: str, port: int, drain_s: float, on_drain: Callable[[], None]) -> None:
    """Serve until SIGTERM or SIGINT, then return once all begun requests are answered or `drain_s` have passed.

    Args:
        app: its lifespan opens and closes what it needs.
        host: address to listen on.
        port: TCP port.
        drain_s: seconds that requests get to finish.
        on_drain: called in the signal handler, to turn readiness off.
    """
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        loop="uvloop",
        http="httptools",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=math.ceil(drain_s),
    )
    _Server(config, on_drain=on_drain).run()


class _Server(uvicorn.Server):
    """Uvicorn ends by raising the signal once more, so its exit code would be the signal's; ours is 0."""

    def __init__(self, config: uvicorn.Config, *, on_drain: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_drain = on_drain

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        handled = (signal.SIGTERM, signal.SIGINT)
        before = {number: signal.signal(number, self._drain) for number in handled}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _drain(self, _number: int, _frame: FrameType | None) -> None:
        self._on_drain()
        self.should_exit = True
