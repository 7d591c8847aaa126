"""A TCP proxy whose answers come late by as much as a test says, while it says so."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from urllib.parse import urlsplit, urlunsplit


class SlowProxy:
    """Stands before the server of a redis:// address."""

    def __init__(self, url: str) -> None:
        self._url = urlsplit(url)
        self.latency_s = 0.0
        self.url = ""
        self._pumps: set[asyncio.Task[None]] = set()
        self._sinks: list[asyncio.StreamWriter] = []

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert self._url.hostname is not None
        answers, upstream = await asyncio.open_connection(self._url.hostname, self._url.port)
        self._sinks += [writer, upstream]
        self._pumps.add(asyncio.create_task(self._pump(reader, upstream, late=False)))
        self._pumps.add(asyncio.create_task(self._pump(answers, writer, late=True)))

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, late: bool) -> None:
        with contextlib.suppress(ConnectionError):
            while block := await source.read(65_536):
                if late:
                    await asyncio.sleep(self.latency_s)
                sink.write(block)
                await sink.drain()
        sink.close()

    async def stop(self) -> None:
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)
        for sink in self._sinks:
            sink.close()
        await asyncio.gather(*(sink.wait_closed() for sink in self._sinks), return_exceptions=True)

    def listening_on(self, port: int) -> None:
        at = self._url._replace(netloc=f":{self._url.password or ''}@127.0.0.1:{port}")
        self.url = urlunsplit(at)


@contextlib.asynccontextmanager
async def slow_proxy(url: str) -> AsyncIterator[SlowProxy]:
    proxy = SlowProxy(url)
    server = await asyncio.start_server(proxy.connected, "127.0.0.1", 0)
    proxy.listening_on(server.sockets[0].getsockname()[1])
    yield proxy
    server.close()
    await proxy.stop()
    await server.wait_closed()
