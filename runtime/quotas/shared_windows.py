"""Sliding windows that all processes share, in Redis or Valkey: exact, by the server's clock.

A window is a list of the times at which something passed, the oldest first, and at most as long as the quota. One
script drops what has left the window, compares and appends, so that two processes never both take the last place.
Requests that come while the server is asked share the next question.
"""

import asyncio
import hashlib
from collections import deque
from types import TracebackType
from typing import Final, Self, cast

import redis.asyncio
import redis.exceptions
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from runtime.quotas.quota import Allowance, Quota

TIMEOUT_S: Final = 0.04
"""How long a request waits for the shared count; what a server that does not answer costs it."""
TAKEN_AT_ONCE_MAX: Final = 256
"""Requests that are counted by one question."""
WAITING_MAX: Final = 4_096
"""Requests that may wait for the next one; more are counted by this process alone."""

_PREFIX: Final = "counterfoil:quota"
_SUBJECT_BYTES: Final = 12
_MICROSECONDS: Final = 1_000_000

_TAKE: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local answers = {}
for i, key in ipairs(KEYS) do
    local most, window = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
    local oldest = redis.call('LINDEX', key, 0)
    while oldest and tonumber(oldest) <= now - window do
        redis.call('LPOP', key)
        oldest = redis.call('LINDEX', key, 0)
    end
    local count = redis.call('LLEN', key)
    if count >= most then
        -- Where the quota was lowered there is more than it in the window, and as many have to leave it.
        local leaves = tonumber(redis.call('LINDEX', key, count - most)) + window - now
        answers[i] = {0, 0, leaves}
    else
        redis.call('RPUSH', key, string.format('%.0f', now))
        redis.call('PEXPIRE', key, math.ceil(window / 1000))
        answers[i] = {1, most - count - 1, (tonumber(oldest) or now) + window - now}
    end
end
return answers
"""

_Unavailable = (redis.exceptions.RedisError, OSError, TimeoutError)
_Asked = tuple[Quota, str, "asyncio.Future[Allowance]"]


class WindowsUnavailable(Exception):
    """The shared count did not answer in time."""


class SharedWindows:
    """The windows of all processes that name the same Redis."""

    def __init__(self, url: str, *, timeout_s: float = TIMEOUT_S) -> None:
        """Nothing is opened yet; `timeout_s` bounds each `take`."""
        self._timeout_s = timeout_s
        self._client = redis.asyncio.Redis.from_url(
            url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=Retry(NoBackoff(), 0)
        )
        self._script = self._client.register_script(_TAKE)
        self._waiting: deque[_Asked] = deque()
        self._asking: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Open nothing: the first question does."""
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """End what is under way, and the connection."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)
        await self._client.aclose()

    async def take(self, quota: Quota, subject: str) -> Allowance:
        """Count one more for a caller, if the quota allows it.

        Raises:
            WindowsUnavailable: no answer in time; it may have been counted.
        """
        if len(self._waiting) >= WAITING_MAX:
            raise WindowsUnavailable("too many requests wait to be counted")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Allowance] = loop.create_future()
        self._waiting.append((quota, _key(quota, subject), future))
        if self._asking is None or self._asking.done():
            self._asking = loop.create_task(self._ask(), name="quotas")
        try:
            async with asyncio.timeout(self._timeout_s):
                return await future
        except TimeoutError as error:
            raise WindowsUnavailable("no answer in time") from error

    async def _ask(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), TAKEN_AT_ONCE_MAX))]
            batch = [asked for asked in batch if not asked[2].done()]  # done: it waits no longer
            if not batch:
                continue
            try:
                answers = await self._taken(batch)
            except _Unavailable as error:
                batch.extend(self._waiting)  # they would only wait for the same failure
                self._waiting.clear()
                for _, _, future in batch:
                    if not future.done():
                        future.set_exception(WindowsUnavailable(str(error) or type(error).__name__))
                return
            for (_, _, future), answer in zip(batch, answers, strict=True):
                if not future.done():
                    future.set_result(answer)

    async def _taken(self, batch: list[_Asked]) -> list[Allowance]:
        keys = [key for _, key, _ in batch]
        arguments = [each for quota, _, _ in batch for each in (quota.most, quota.window_s * _MICROSECONDS)]
        # Nested lists are what the script returns, whatever the library's types say.
        answers = cast("list[tuple[int, int, int]]", await self._script(keys=keys, args=arguments))
        return [
            Allowance(quota, bool(passes), remaining, wait / _MICROSECONDS, "shared")
            for (quota, _, _), (passes, remaining, wait) in zip(batch, answers, strict=True)
        ]


def _key(quota: Quota, subject: str) -> str:
    """Where a window is kept; addresses of the network are nobody's to read there."""
    digest = hashlib.blake2b(subject.encode(), digest_size=_SUBJECT_BYTES).hexdigest()
    return f"{_PREFIX}:{quota.name}:{digest}"
