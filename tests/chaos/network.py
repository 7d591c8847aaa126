"""A network that can be cut, slowed, frozen and made to lose answers: TCP proxies on one event loop in a thread."""

import asyncio
import contextlib
import random
import threading

CHUNK_BYTES = 64 * 1024
CLOSED_WITHIN_S = 60.0


class Link:
    """One proxy in front of one server. Its faults are plain attributes, read at every chunk."""

    def __init__(self, name, *, target, loop, chance):
        self.name = name
        self.target = target
        self.port = 0
        self.delay_s = 0.0
        self.frozen = False
        self.severed = False
        self.answers_lost = 0.0
        self._chance = chance
        self._loop = loop
        self._open = set()
        self._pumps = set()
        self._server = None

    async def listen(self, port):
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", port)
        self.port = self._server.sockets[0].getsockname()[1]

    def sever(self):
        """Reset every connection, and every new one, until mended."""
        self.severed = True
        self._loop.call_soon_threadsafe(self._reset_all)

    def mend(self):
        """As new. What hung while frozen is reset: its bytes are long overdue."""
        overdue, self.frozen = self.frozen, False
        self.severed, self.delay_s, self.answers_lost = False, 0.0, 0.0
        if overdue:
            self._loop.call_soon_threadsafe(self._reset_all)

    def _reset_all(self):
        for writer in self._open:
            writer.transport.abort()

    async def _connected(self, reader, writer):
        if self.severed:
            writer.transport.abort()
            return
        try:
            answers, upstream = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        pair = {writer, upstream}
        self._open |= pair
        pumps = [
            asyncio.ensure_future(self._pump(reader, upstream, pair=pair, answers=False)),
            asyncio.ensure_future(self._pump(answers, writer, pair=pair, answers=True)),
        ]
        self._pumps.update(pumps)
        for pump in pumps:
            pump.add_done_callback(self._pumps.discard)

    async def _pump(self, source, sink, *, pair, answers):
        with contextlib.suppress(OSError):
            while received := await source.read(CHUNK_BYTES):
                if answers and self._chance.random() < self.answers_lost:
                    break
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                while self.frozen:  # noqa: ASYNC110  # set from another thread
                    await asyncio.sleep(0.05)
                sink.write(received)
                await sink.drain()
        for writer in pair:
            writer.transport.abort()
        self._open -= pair

    async def close(self):
        self._server.close()
        self._reset_all()
        for pump in list(self._pumps):
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)
        await asyncio.sleep(0)


class Network:
    """All links of one laboratory."""

    def __init__(self, *, seed):
        self._chance = random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="network", daemon=True)
        self._thread.start()
        self.links = {}

    def link(self, name, *, target, port=0):
        """A proxy to a port of this machine, listening on `port` or any free one."""
        link = Link(name, target=target, loop=self._loop, chance=self._chance)
        self._wait(link.listen(port))
        self.links[name] = link
        return link

    def close(self):
        for link in self.links.values():
            self._wait(link.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CLOSED_WITHIN_S)
        self._loop.close()

    def _wait(self, step):
        return asyncio.run_coroutine_threadsafe(step, self._loop).result(CLOSED_WITHIN_S)
