"""Ask once for what many requests want: keys gather while the previous question is under way.

There is no timer. A lone key leaves in the next turn of the event loop; under load a batch grows by itself to
what arrived during one round trip, so the number of round trips hardly depends on the number of requests.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import Final, Generic, TypeVar, cast

from read_api.errors import ReadError, TooManyReads

BATCH_KEYS_MAX: Final = 256
"""Keys in one question."""

WAITING_KEYS_MAX: Final = 4_096
"""Keys that may wait for the next question; more are refused at once."""

Key = TypeVar("Key", bound=Hashable)
Answer = TypeVar("Answer")

Fetch = Callable[[Sequence[Key]], Awaitable[Mapping[Key, Answer]]]
"""Answers every one of the distinct keys it is given, or raises a ReadError."""


class Coalescer(Generic[Key, Answer]):
    """Gathers keys into questions, at most `flights_max` of which are under way at once."""

    def __init__(
        self,
        fetch: Fetch[Key, Answer],
        *,
        flights_max: int = 1,
        batch_max: int = BATCH_KEYS_MAX,
        waiting_max: int = WAITING_KEYS_MAX,
    ) -> None:
        """Ask with `fetch`; sizes are numbers of keys."""
        self._fetch = fetch
        self._flights_max = flights_max
        self._batch_max = batch_max
        self._waiting_max = waiting_max
        self._waiting: deque[tuple[Key, asyncio.Future[Answer]]] = deque()
        self._flights: set[asyncio.Task[None]] = set()

    def ask(self, key: Key) -> asyncio.Future[Answer]:
        """The answer for one key, taken from a question that leaves after this call.

        Raises:
            TooManyReads: the queue is full.
        """
        if len(self._waiting) >= self._waiting_max:
            raise TooManyReads("the queue of reads is full")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append((key, future))
        if len(self._flights) < self._flights_max:
            flight = loop.create_task(self._fly())
            self._flights.add(flight)
        return future

    async def close(self) -> None:
        """Give up what is under way; those who wait for it are cancelled."""
        flights = list(self._flights)
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)
        for _, future in self._waiting:
            future.cancel()
        self._waiting.clear()

    async def _fly(self) -> None:
        try:
            while self._waiting:
                await self._ask_for(self._next_batch())
        finally:
            # In the very step that found nothing waiting, not in a callback one round of the loop later: a reader that
            # came in between would rely on a flight that is over.
            self._flights.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    async def _ask_for(self, batch: list[tuple[Key, asyncio.Future[Answer]]]) -> None:
        try:
            answers = await self._fetch(list({key for key, _ in batch}))
        except ReadError as error:
            # Who waits would meet the same failure one round trip later: nobody waits for more than one.
            batch.extend(self._waiting)
            self._waiting.clear()
            _fail(batch, error, cause=error)
        except asyncio.CancelledError:
            for _, future in batch:
                future.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - handed on to everybody who asked, not swallowed
            _fail(batch, ReadError(f"a read failed: {error!r}"), cause=error)
        else:
            _deliver(batch, answers)

    def _next_batch(self) -> list[tuple[Key, asyncio.Future[Answer]]]:
        count = min(len(self._waiting), self._batch_max)
        return [self._waiting.popleft() for _ in range(count)]


def _deliver(batch: list[tuple[Key, asyncio.Future[Answer]]], answers: Mapping[Key, Answer]) -> None:
    for key, future in batch:
        if not future.done():  # done: the request went away meanwhile
            future.set_result(answers[key])


def _fail(batch: list[tuple[Key, asyncio.Future[Answer]]], error: ReadError, *, cause: Exception) -> None:
    for _, future in batch:
        if not future.done():
            again = type(error)(*error.args)  # one instance each: raising an error changes its traceback
            again.__cause__ = cause
            future.set_exception(again)
