"""TLS in front of a server that has none: the programs of the wheels were built without it.

Clients shake hands with the proxy, which speaks plainly to the real server behind it. Postgres negotiates TLS in its
own protocol, so the proxy answers that request too; Redis begins with the handshake.
"""

import asyncio
import contextlib
import ssl
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

SSL_REQUEST: Final = struct.pack("!ii", 8, 80877103)
GSS_REQUEST: Final = struct.pack("!ii", 8, 80877104)
CHUNK_BYTES: Final = 65_536


class TlsProxy:
    """Listens on a port of `localhost`; count `handshakes` to see that clients came this way."""

    def __init__(self, server: tuple[str, int], *, certificate: Path, postgres: bool) -> None:
        self.port = 0
        self.handshakes = 0
        self._server = server
        self._postgres = postgres
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(certificate)

    async def serve(self, started: threading.Event) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        tls = None if self._postgres else self._context
        async with await asyncio.start_server(self._connected, "127.0.0.1", 0, ssl=tls) as listener:
            self.port = listener.sockets[0].getsockname()[1]
            started.set()
            await self._stop.wait()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ssl.SSLError, ConnectionError, asyncio.IncompleteReadError):
            if self._postgres and not await self._agreed(reader, writer):
                return
            self.handshakes += 1
            answers, upstream = await asyncio.open_connection(*self._server)
            await asyncio.gather(_pump(reader, upstream), _pump(answers, writer))
        writer.close()

    async def _agreed(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Do what a Postgres with TLS does first; one that insists on it ends plain sessions."""
        while (request := await reader.readexactly(8)) == GSS_REQUEST:
            writer.write(b"N")
        if request != SSL_REQUEST:
            writer.close()
            return False
        writer.write(b"S")
        await writer.drain()
        await writer.start_tls(self._context)
        return True


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ssl.SSLError, ConnectionError):
        while data := await source.read(CHUNK_BYTES):
            sink.write(data)
            await sink.drain()
    sink.close()


@contextlib.contextmanager
def tls_proxy(server: tuple[str, int], *, certificate: Path, postgres: bool = False) -> Iterator[TlsProxy]:
    """A proxy in a thread of its own while the block runs."""
    proxy = TlsProxy(server, certificate=certificate, postgres=postgres)
    started = threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(proxy.serve(started)), name="tls proxy")
    thread.start()
    started.wait()
    try:
        yield proxy
    finally:
        proxy.stop()
        thread.join()
