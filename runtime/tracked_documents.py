"""Documents for readers: one connection to Redis or Valkey, and a client-side cache of what was read over it.

The server remembers which keys a connection has read and announces over that same connection when one of them changes,
is evicted or expires (CLIENT TRACKING, since Redis 6). Replies and announcements arrive in the order in which the
server made them, so the client-side cache holds at any time what the server held at one moment: a document and the
checkpoint of its partition are of one moment, whether both come from here or from one MGET. When the connection is
lost, or a command on it stays without a reply, the cache is emptied (ADR 56).

Broadcasting mode would not do: it announces at the end of a cycle of the server's event loop, so that the reply with a
new checkpoint could overtake the announcement of the document that was written with it.
"""

import asyncio
import ssl
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, cast

import hiredis
import structlog
from msgspec import Struct
from redis.asyncio.connection import Connection as Address
from redis.asyncio.connection import SSLConnection, UnixDomainSocketConnection, parse_url

from runtime.client_cache import ClientCache
from runtime.documents import Document, DocumentsUnavailable, is_checkpoint

CONNECT_TIMEOUT_S: Final = 1.0
"""For connecting, TLS and login together."""

UNANSWERED_S_MAX: Final = 1.0
"""A connection on which a command stays without a reply for longer is given up."""

CHECK_INTERVAL_S: Final = 0.5
"""Between two checks of a connection; a PING tells whether it lives if no other command is in flight."""

CLIENT_NAME: Final = "counterfoil-query-api"

CHECKPOINTS_MAX: Final = 4_096
"""Checkpoints held; there are a few dozen at a time."""

IN_FLIGHT_MAX: Final = 1_024
"""Commands in flight up to which documents are put back."""

# A writer of documents of a partition changes its checkpoint in the same call. So while the checkpoint is as it was
# when the document was missed, nothing newer than what SQL had since then was written, and possibly evicted again.
_FILL: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if redis.call('GETRANGE', KEYS[2], 0, 19) >= string.sub(ARGV[2], 1, 20) then return 0 end
redis.call('SET', KEYS[2], ARGV[2], 'EX', ARGV[3])
return 1
"""

log = structlog.get_logger()

Reply = object


class ReadCache:
    """What one connection has read: documents, dropped when they change, and checkpoints with when they were asked for.

    A checkpoint stays when it moves on: it says less than the newest one, and no less truth.
    """

    def __init__(self, bytes_max: int) -> None:
        """Hold documents of up to `bytes_max` bytes; of checkpoints there are some dozens."""
        self.documents = ClientCache(bytes_max)
        self.checkpoints: dict[str, tuple[bytes, float]] = {}

    def take(self, keys: Sequence[str], values: Sequence[bytes | None], *, asked_at: float) -> None:
        """Hold what a reply says."""
        for key, value in zip(keys, values, strict=True):
            if not is_checkpoint(key):
                if value is not None:
                    self.documents.put(key, value)
            elif value is None:
                self.checkpoints.pop(key, None)
            elif key in self.checkpoints or len(self.checkpoints) < CHECKPOINTS_MAX:
                self.checkpoints[key] = value, asked_at

    def clear(self) -> None:
        """Forget all of it."""
        self.documents.clear()
        self.checkpoints.clear()


class _Command(Struct, eq=False):
    """A command in flight: the future of its reply, the keys that it reads, and when it was sent."""

    reply: asyncio.Future[Reply]
    keys: Sequence[str]
    sent_at: float


class TrackedDocuments:
    """What readers use of the document cache; connects when first used. For one event loop."""

    def __init__(
        self, url: str, *, cache_bytes_max: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Read from the server at `url`; hold up to `cache_bytes_max` bytes here. `clock` gives seconds."""
        self._address = _address(url)
        self._cache = ReadCache(cache_bytes_max)
        self._tracks = cache_bytes_max > 0
        self._clock = clock
        self._connection: _Connection | None = None
        self._connecting: asyncio.Task[_Connection] | None = None

    @property
    def cached_bytes(self) -> int:
        """Bytes in the client-side cache."""
        return self._cache.documents.size_bytes

    def cached(self, key: str) -> bytes | None:
        """The stored value of a document if it is in the client-side cache; all such values are of one moment."""
        return self._cache.documents.get(key)

    def cached_checkpoint(self, key: str, *, asked_since: float) -> bytes | None:
        """A checkpoint that was asked for after a time of the clock. It may have moved on since then.

        What `cached` answers goes at least as far: its announcements would have arrived before this checkpoint.
        """
        value, asked_at = self._cache.checkpoints.get(key, (None, 0.0))
        return value if asked_at > asked_since else None

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """The stored values as of one moment, in the order of the keys.

        Raises:
            DocumentsUnavailable: the server cannot be reached, or refuses.
        """
        if not keys:
            return []
        connection = self._connection or await self._connect()
        return cast("list[bytes | None]", await connection.ask("MGET", *keys, reads=keys))

    def fill(self, document: Document, *, checkpoint_key: str, checkpoint: bytes) -> None:
        """Put a document back that SQL had after it was missed, if this still is the checkpoint.

        Nobody waits for it, and nobody learns whether it was done; under load it is left out.
        """
        connection = self._connection
        if connection is None or connection.in_flight > IN_FLIGHT_MAX:
            return
        keys = ("2", checkpoint_key, document.key)
        ttl_s = str(document.ttl_s)
        connection.ask("EVAL", _FILL, *keys, checkpoint, document.value, ttl_s).add_done_callback(_heard)

    def keep(self, key: str, value: bytes, *, ttl_s: int) -> None:
        """Write what belongs to no checkpoint, for so many seconds; as with `fill`, nobody waits for it."""
        connection = self._connection
        if connection is None or connection.in_flight > IN_FLIGHT_MAX:
            return
        connection.ask("SET", key, value, "EX", str(ttl_s)).add_done_callback(_heard)

    async def close(self) -> None:
        """Hang up; commands in flight fail."""
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.gather(self._connecting, return_exceptions=True)
        if self._connection is not None:
            self._connection.abort("the process is ending")

    async def _connect(self) -> "_Connection":
        """The connection that is being made; it is made even if the caller's time is up before."""
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._open())
            self._connecting.add_done_callback(self._connected)
        return await asyncio.shield(self._connecting)

    def _connected(self, opened: "asyncio.Task[_Connection]") -> None:
        self._connecting = None
        if not opened.cancelled():
            opened.exception()  # raised to those who waited, if any did

    async def _open(self) -> "_Connection":
        connection = _Connection(self._cache, lost=self._lost, clock=self._clock)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await _dial(self._address, connection)
                await self._introduce(connection)
        except (TimeoutError, OSError, DocumentsUnavailable) as error:
            reason = str(error) or f"not connected within {CONNECT_TIMEOUT_S} s"
            connection.abort(reason)
            raise DocumentsUnavailable(reason) from error
        except BaseException:
            connection.abort("cancelled")
            raise
        self._connection = connection
        return connection

    async def _introduce(self, connection: "_Connection") -> None:
        """Log in and ask for announcements; a server that makes none is read without a client-side cache."""
        address = self._address
        login = ("AUTH", address.username or "default", address.password) if address.password else ()
        await connection.ask("HELLO", "3", *login, "SETNAME", CLIENT_NAME)
        if address.db:
            await connection.ask("SELECT", str(address.db))
        if self._tracks:
            try:
                await connection.ask("CLIENT", "TRACKING", "ON")
            except DocumentsUnavailable as error:
                log.warning("document_cache_not_tracked", reason=str(error))
            else:
                connection.fills_cache = True

    def _lost(self, connection: "_Connection") -> None:
        """Empty the cache: what happens to its keys is announced no longer."""
        self._cache.clear()
        if self._connection is connection:
            self._connection = None


class _Connection(asyncio.Protocol):
    """One connection: commands leave at once, replies come in their order, announcements between them."""

    def __init__(
        self, cache: ReadCache, *, lost: Callable[["_Connection"], None], clock: Callable[[], float]
    ) -> None:
        self.fills_cache = False
        self._cache = cache
        self._lost = lost
        self._clock = clock
        self._reader = hiredis.Reader()
        self._in_flight: deque[_Command] = deque()
        self._transport: asyncio.Transport | None = None
        self._check: asyncio.TimerHandle | None = None
        self._ended: str | None = None

    @property
    def in_flight(self) -> int:
        """Commands without a reply."""
        return len(self._in_flight)

    def ask(self, *command: str | bytes, reads: Sequence[str] = ()) -> asyncio.Future[Reply]:
        """The reply to a command; the values of the keys that it `reads` go into the cache.

        Raises:
            DocumentsUnavailable: the connection was lost, or the server refuses; from the future, too.
        """
        if self._transport is None or self._ended is not None:
            raise DocumentsUnavailable(self._ended or "not connected")
        reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._in_flight.append(_Command(reply, reads, self._clock()))
        self._transport.write(hiredis.pack_command(command))  # type: ignore[arg-type]  # of any length
        return reply

    def abort(self, reason: str) -> None:
        """Give the connection up; commands in flight fail."""
        if self._ended is not None:
            return
        self._ended = reason
        if self._check is not None:
            self._check.cancel()
        if self._transport is not None:
            self._transport.abort()
        self._lost(self)
        while self._in_flight:
            _fail(self._in_flight.popleft().reply, reason)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport and begin to check it."""
        self._transport = cast("asyncio.Transport", transport)
        self._check = asyncio.get_running_loop().call_later(CHECK_INTERVAL_S, self._check_on)

    def connection_lost(self, error: Exception | None) -> None:
        """Fail the commands in flight."""
        self.abort(f"the connection was lost: {error or 'the server hung up'}")

    def data_received(self, data: bytes) -> None:
        """Take replies and announcements in their order, each into the cache before the next."""
        self._reader.feed(data)
        try:
            while self._ended is None and (message := self._reader.gets()) is not False:
                if isinstance(message, hiredis.PushNotification):
                    self._take_announcement(message)
                else:
                    self._take_reply(message)
        except (hiredis.ProtocolError, ValueError) as error:
            self.abort(f"not a Redis server: {error}")

    def _take_announcement(self, message: Sequence[object]) -> None:
        kind, *about = message
        if kind != b"invalidate":
            return
        (keys,) = about
        if keys is None:
            self._cache.clear()  # the server was emptied
            return
        for key in cast("Sequence[bytes]", keys):
            self._cache.documents.drop(key.decode())

    def _take_reply(self, message: Reply) -> None:
        if not self._in_flight:
            raise ValueError("a reply to nothing")
        command = self._in_flight.popleft()
        if isinstance(message, hiredis.ReplyError):
            _fail(command.reply, str(message))
            return
        # Also where the caller's time was up: the server announces changes of these keys from now on.
        if self.fills_cache and command.keys:
            values = cast("Sequence[bytes | None]", message)
            self._cache.take(command.keys, values, asked_at=command.sent_at)
        if not command.reply.done():
            command.reply.set_result(message)

    def _check_on(self) -> None:
        if self._in_flight and self._clock() - self._in_flight[0].sent_at > UNANSWERED_S_MAX:
            self.abort(f"no reply within {UNANSWERED_S_MAX} s")
            return
        if not self._in_flight and self._cache.documents.size_bytes:
            self.ask("PING").add_done_callback(_heard)
        self._check = asyncio.get_running_loop().call_later(CHECK_INTERVAL_S, self._check_on)


def _heard(reply: asyncio.Future[Reply]) -> None:
    """Retrieve an outcome that nobody waits for: a lost connection has failed everybody else already."""
    if not reply.cancelled():
        reply.exception()


def _fail(reply: asyncio.Future[Reply], reason: str) -> None:
    if not reply.done():
        reply.set_exception(DocumentsUnavailable(f"the document cache does not answer: {reason}"))


def _address(url: str) -> Address:
    """Where the server is and how to log in, as the address of the library's own client says."""
    options = dict(parse_url(url))
    kind = cast("Callable[..., Address]", options.pop("connection_class", Address))
    return kind(**options)


async def _dial(address: Address, connection: _Connection) -> None:
    loop = asyncio.get_running_loop()
    if isinstance(address, UnixDomainSocketConnection):
        await loop.create_unix_connection(lambda: connection, address.path)
        return
    context: ssl.SSLContext | None = address.ssl_context.get() if isinstance(address, SSLConnection) else None
    await loop.create_connection(lambda: connection, address.host, address.port, ssl=context)
