"""A TCP proxy between a client and a real server, for tests of what a network may do."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg


class LossyProxy:
    """A TCP proxy between writer and server. Frozen, it delivers requests and swallows answers."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.address = ""
        self.frozen = False
        self.cut_at_next_answer = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._sinks: list[asyncio.StreamWriter] = []

    async def connected(self, reader: asyncio.StreamReader, out: asyncio.StreamWriter) -> None:
        self._sinks.append(out)
        if self.frozen:
            return  # accepted, and never answered
        server_at = psycopg.conninfo.conninfo_to_dict(self.url)
        host, port = str(server_at["host"]), int(str(server_at["port"]))
        answers, upstream = await asyncio.open_connection(host, port)
        self._sinks.append(upstream)
        self._tasks.add(asyncio.create_task(self._pump(reader, upstream)))
        self._tasks.add(asyncio.create_task(self._pump(answers, out, answers=True)))

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, answers: bool = False
    ) -> None:
        while data := await source.read(65536):
            if answers and self.frozen:
                continue
            if answers and self.cut_at_next_answer:
                self.cut_at_next_answer = False
                break
            sink.write(data)
            await sink.drain()
        sink.close()

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for sink in self._sinks:
            sink.close()
        await asyncio.gather(*(sink.wait_closed() for sink in self._sinks), return_exceptions=True)


@asynccontextmanager
async def lossy_proxy(url: str) -> AsyncIterator[LossyProxy]:
    proxy = LossyProxy(url)
    server = await asyncio.start_server(proxy.connected, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    proxy.address = psycopg.conninfo.make_conninfo(url, host="127.0.0.1", port=port)
    yield proxy
    server.close()
    await proxy.stop()
    await server.wait_closed()
