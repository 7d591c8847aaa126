"""What a connection may take before its request is known: so many bytes and headers, so much time.

Uvicorn has no limits of its own here. A head that is too large or too slow is answered as every problem is and ends the
connection, and so is what cannot be read at all.
"""

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from runtime.http.headers import OVER_TLS, correlation_of
from runtime.http.pipeline import Refusal, lines
from runtime.problems import ProblemError

HEAD_BYTES_MAX: Final = 16 * 1024
"""Bytes in the address and the headers of one request; a token has 8 KB at most."""
HEADERS_MAX: Final = 100
"""Headers of one request."""
HEAD_TIMEOUT_S: Final = 10.0
"""Time in which the head of a request must have arrived, or what a refused request still sends must have ended."""
UNREAD_TIMEOUT_S: Final = 60.0
"""Time in which a caller must read on in an answer that fills the buffers of both ends."""

_ENDS: Final = b"connection: close\r\n"

UNREADABLE: Final = Refusal(ProblemError("request-unreadable", "The bytes are not HTTP/1.1."))
HEAD_TOO_LARGE: Final = Refusal(
    ProblemError(
        "head-too-large",
        f"Address and headers have {HEAD_BYTES_MAX} bytes and {HEADERS_MAX} headers at most.",
        facts={"limit_bytes": HEAD_BYTES_MAX, "limit_headers": HEADERS_MAX},
    )
)
HEAD_TOO_SLOW: Final = Refusal(
    ProblemError(
        "head-too-slow",
        f"The head of a request arrives within {HEAD_TIMEOUT_S:.0f} s.",
        facts={"limit_seconds": HEAD_TIMEOUT_S},
    )
)


class _TooMuch(Exception):
    """Stops the parser."""


class LimitedProtocol(HttpToolsProtocol):
    """Uvicorn's protocol with limits for what comes before a request is known."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._in_head = False
        self._in_message = False
        self._heads = 0
        self._head_bytes = 0
        self._unparsed_bytes = 0
        self._refusal = UNREADABLE
        self._head_timer: asyncio.TimerHandle | None = None
        self._unread_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        self._end_waiting()
        self._end_waiting_for_a_reader()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Wait until the caller reads on, a while."""
        super().pause_writing()
        self._unread_timer = self.loop.call_later(UNREAD_TIMEOUT_S, self.transport.abort)

    def resume_writing(self) -> None:
        """The caller reads on."""
        self._end_waiting_for_a_reader()
        super().resume_writing()

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._in_head = self._in_message = True
        self._heads += 1
        self._head_bytes = self._unparsed_bytes = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Count a piece of the address."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count a header."""
        self._head_bytes += len(name) + len(value) + 4
        if self._head_bytes > HEAD_BYTES_MAX or len(self.headers) >= HEADERS_MAX:
            self._refusal = HEAD_TOO_LARGE
            raise _TooMuch
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._in_head = False
        self._end_waiting()
        super().on_headers_complete()

    def send_400_response(self, _msg: str) -> None:
        """Answer what cannot be read on, and end the connection."""
        if not self.transport.is_closing():
            self.transport.write(self._refused(self._refusal))
            self.transport.close()

    def _refused(self, refusal: Refusal) -> bytes:
        correlation, _ = correlation_of(self.headers or ())
        of_all = lines(self.server_state.default_headers)
        over_tls = lines([OVER_TLS]) if self.scheme == "https" else b""
        return refusal.answer(correlation, also=of_all + over_tls + _ENDS)

    def _fed(self, count: int, *, head: int) -> None:
        """Look at what came: `count` bytes while this was the number of the head that was not whole."""
        if self.transport.is_closing():
            return
        if self._in_head and head == self._heads:
            # The parser announces a piece of the head when it is whole, and keeps it until then.
            self._unparsed_bytes += count
            if self._unparsed_bytes > 2 * HEAD_BYTES_MAX:
                self._refusal = HEAD_TOO_LARGE
                self.send_400_response("")
                return
        if self._waits_for_a_head():
            self._await_head()

    def _waits_for_a_head(self) -> bool:
        """Whether the next thing to come is the head of a request, or its rest, and nothing else limits the time."""
        return self._in_head or (
            self.timeout_keep_alive_task is None and getattr(self.cycle, "response_complete", True)
        )

    def _count(self, count: int) -> None:
        self._head_bytes += count
        if self._head_bytes > HEAD_BYTES_MAX:
            self._refusal = HEAD_TOO_LARGE
            raise _TooMuch

    def _await_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self._too_slow)

    def _too_slow(self) -> None:
        self._head_timer = None
        if self.transport.is_closing():
            return
        if self._in_head:
            self._refusal = HEAD_TOO_SLOW
            self.send_400_response("")
        else:
            self.transport.close()  # nothing was asked, so nothing is answered

    def _end_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _end_waiting_for_a_reader(self) -> None:
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None
