"""A TCP proxy between a client and a real server, for tests of what a network may do."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg

NAMED = b"application_name\x00"
FOR_HINTS = b" hints\x00"
"""How the name ends that a connection for hints gives when it introduces itself."""


class LossyProxy:
    """A TCP proxy between writer and server. Frozen, it delivers requests and swallows answers.

    A cut never meets a connection for hints: those are sent whenever their thread comes to it.
    """

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
        may_be_cut = asyncio.Event()
        self._tasks.add(asyncio.create_task(self._pump(reader, upstream, may_be_cut)))
        self._tasks.add(asyncio.create_task(self._pump(answers, out, may_be_cut, answers=True)))

    async def _pump(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        may_be_cut: asyncio.Event,
        *,
        answers: bool = False,
    ) -> None:
        while data := await source.read(65536):
            if not answers and NAMED in data and FOR_HINTS not in data:
                may_be_cut.set()
            if answers and self.frozen:
                continue
            if answers and self.cut_at_next_answer and may_be_cut.is_set():
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
