"""A client of many connections that costs little: requests are ready bytes, answers are taken apart by httptools."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Self, cast

import httptools
from msgspec import Struct

ANSWER_S_MAX: Final = 30.0


class Answer(Struct, frozen=True):
    """What a server said: status, body and the header that benchmarks look at."""

    status: int
    position: bytes | None
    body: bytes


class Load(Struct, frozen=True):
    """What a load found: answers a second, seconds each took in order, and how many were not the expected status."""

    rate: float
    seconds: Sequence[float]
    unexpected: int
    cpu_share: float
    """Of one processor, what the client itself used: the server had the rest."""


class Connection(asyncio.Protocol):
    """One connection with one request under way at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[Answer] | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._position: bytes | None = None
        self._body = b""

    @classmethod
    async def open(cls, host: str, port: int) -> Self:
        """Connect."""
        _, connection = await asyncio.get_running_loop().create_connection(cls, host, port)
        return connection

    async def ask(self, request: bytes) -> Answer:
        """Send a request and wait for its answer."""
        assert self._transport is not None
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._waiting

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass of it

    def data_received(self, received: bytes) -> None:
        """Take an answer apart."""
        self._parser.feed_data(received)

    def connection_lost(self, error: Exception | None) -> None:
        """Tell who waits."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(error or ConnectionResetError("the server hung up"))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser."""
        if name.lower() == b"position":
            self._position = value

    def on_body(self, part: bytes) -> None:
        """Called by the parser."""
        self._body += part

    def on_message_complete(self) -> None:
        """Called by the parser."""
        answer = Answer(self._parser.get_status_code(), self._position, self._body)
        self._parser = httptools.HttpResponseParser(self)
        self._position, self._body = None, b""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(answer)


class Pool:
    """Connections to a port, opened as requests need them: a server hangs up on one that sends nothing."""

    def __init__(self, port: int, *, size: int) -> None:
        """Nothing is opened yet, and no more than `size` are."""
        self._port = port
        self._idle: list[Connection] = []
        self._free = asyncio.Semaphore(size)

    async def ask(self, request: bytes) -> Answer:
        """Send a request over the connection that was used last, or over a new one."""
        async with self._free:
            connection = self._idle.pop() if self._idle else await Connection.open("127.0.0.1", self._port)
            try:
                return await connection.ask(request)
            finally:
                self._idle.append(connection)

    def close(self) -> None:
        """Hang up everywhere."""
        while self._idle:
            self._idle.pop().close()


def port_of(address: str | None) -> int:
    """The port of an API that runs, by its address."""
    return int(str(address).rpartition(":")[2])


def post(path: str, body: bytes, *headers: str) -> bytes:
    """The bytes of a POST."""
    head = [f"POST {path} HTTP/1.1", "Host: benchmark", "Content-Type: application/json", *headers]
    return "\r\n".join([*head, f"Content-Length: {len(body)}", "", ""]).encode() + body


def get(path: str, *headers: str) -> bytes:
    """The bytes of a GET."""
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: benchmark", *headers, "", ""]).encode()


async def closed_loop(
    host: str,
    ports: Sequence[int],
    *,
    connections: int,
    seconds: float,
    request: Callable[[], bytes],
    expected: int,
) -> Load:
    """Every connection asks again as soon as it is answered; the ports share them."""
    opened = [await Connection.open(host, ports[number % len(ports)]) for number in range(connections)]
    took: list[float] = []
    unexpected = 0
    cpu, began = time.process_time(), time.perf_counter()
    end = began + seconds

    async def ask(connection: Connection) -> None:
        nonlocal unexpected
        while (started := time.perf_counter()) < end:
            answer = await connection.ask(request())
            took.append(time.perf_counter() - started)
            unexpected += answer.status != expected

    try:
        async with asyncio.timeout(seconds + ANSWER_S_MAX):
            await asyncio.gather(*(ask(connection) for connection in opened))
    finally:
        for connection in opened:
            connection.close()
    passed = time.perf_counter() - began
    return Load(len(took) / passed, sorted(took), unexpected, (time.process_time() - cpu) / passed)


async def open_loop(rate: int, *, seconds: float, do: Callable[[int], Awaitable[None]]) -> None:
    """Begin things at a fixed rate, whether or not the ones before are done; wait for all at the end."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    begun: list[asyncio.Task[None]] = []
    for number in range(int(rate * seconds)):
        delay = began + number / rate - loop.time()
        if delay > 0:
            await asyncio.sleep(delay)
        begun.append(asyncio.ensure_future(do(number)))
    async with asyncio.timeout(ANSWER_S_MAX):
        await asyncio.gather(*begun)
