"""Runs an HTTP process: SIGTERM turns readiness off, a moment later stops accepting, finishes what was begun, exits 0.

In that moment requests are still taken, and each answer ends its connection: load balancers learn that this process
is leaving, and callers on kept connections go elsewhere, before anything is closed under their hands.
"""

import asyncio
import math
import signal
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

import uvicorn
import uvloop

from runtime import huge_pages
from runtime.http.application import PipelineApp
from runtime.http.connection_limits import HEAD_TIMEOUT_S
from runtime.http.protocol import PipelineProtocol
from runtime.listening import listening_at
from runtime.settings import PREFIX, Settings, SettingsError

KEEP_ALIVE_S: Final = 65
"""Longer than clients keep idle connections, so that it is they who close them and no request meets a closed one."""

NOTICE_S: Final = 1.0
"""Between readiness turned off and the first connection closed; part of the time to drain."""

HANDSHAKE_S: Final = HEAD_TIMEOUT_S
"""Time in which a TLS handshake must have ended: as long as the head of a request has, not uvloop's minute."""

_LEAVING: Final = (b"connection", b"close")


class Loop(uvloop.Loop):
    """Uvloop's, with a limit for handshakes, which uvicorn does not pass on.

    Where it cannot listen, uvicorn would log the system's error and end with a code of its own.
    """

    async def create_server(  # type: ignore[override]  # whatever uvicorn passes
        self, *given: Any, **named: Any
    ) -> asyncio.AbstractServer:
        """Listen.

        Raises:
            CannotListen: the port is taken, say.
        """
        if named.get("ssl") is not None:
            named["ssl_handshake_timeout"] = HANDSHAKE_S
        with listening_at(named["host"], named["port"]):
            return await super().create_server(*given, **named)


def tls_of(settings: Settings) -> ssl.SSLContext | None:
    """How both APIs serve TLS, from version 1.2 on; None: they serve plain text.

    Raises:
        SettingsError: a file is missing, or holds no certificate, key or authority.
    """
    if settings.tls_certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.tls_certificate, settings.tls_key)
    except OSError as error:
        raise SettingsError(f"{PREFIX}TLS_CERTIFICATE: {settings.tls_certificate}: {error}") from error
    if settings.tls_clients is not None:
        try:
            context.load_verify_locations(settings.tls_clients)
        except OSError as error:
            raise SettingsError(f"{PREFIX}TLS_CLIENTS: {settings.tls_clients}: {error}") from error
        context.verify_mode = ssl.CERT_REQUIRED if settings.tls_clients_required else ssl.CERT_OPTIONAL
    return context


def serve(
    app: PipelineApp,
    *,
    host: str,
    port: int,
    drain_s: float,
    on_drain: Callable[[], None],
    tls: ssl.SSLContext | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then return once all begun requests are answered or `drain_s` have passed.

    Args:
        app: its lifespan opens and closes what it needs.
        host: address to listen on.
        port: TCP port.
        drain_s: seconds from SIGTERM that requests get to finish, notice included.
        on_drain: called in the signal handler, to turn readiness off.
        tls: how TLS is served; None: plain text.
    """
    config = config_of(app, host=host, port=port, drain_s=drain_s, tls=tls)
    huge_pages.keep_asking()
    _Server(config, on_drain=on_drain).run()


def config_of(
    app: PipelineApp, *, host: str, port: int, drain_s: float, tls: ssl.SSLContext | None
) -> uvicorn.Config:
    """How uvicorn serves an API."""
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        loop=f"{__name__}:Loop",
        http=PipelineProtocol,
        ws="none",
        lifespan="off",  # `_Server` opens the application itself
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # the pipeline reads them, from proxies that are trusted (runtime/http/caller_address.py)
        timeout_keep_alive=KEEP_ALIVE_S,
        ssl_context_factory=None if tls is None else lambda _config, _default: tls,
        timeout_graceful_shutdown=max(1, math.ceil(drain_s - NOTICE_S)),
    )


class _Server(uvicorn.Server):
    """Uvicorn ends by raising the signal once more, so its exit code would be the signal's; ours is 0.

    It also logs what keeps an application from opening, with a trace, and ends with a code of its own; ours raises it,
    so an error that a user can act on ends an API as it ends any other command.
    """

    def __init__(self, config: uvicorn.Config, *, on_drain: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_drain = on_drain
        self._leaves_at: float | None = None

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the application, serve it until it is to end, and close it."""
        app = self.config.app
        assert isinstance(app, PipelineApp), "nothing else is served"
        with self.capture_signals():  # also while it opens
            async with app.opened():
                await super().serve(sockets)

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
