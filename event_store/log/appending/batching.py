"""Group commit as a step function: requests in, batches out, verdicts back to their callers.

While one batch is at the server the next one gathers; there is no timer, so a lone request waits for nothing. This
module knows neither sockets nor tasks: `writer` drives it with asyncio, the simulation with a seeded scheduler.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import msgspec

from event_store.log.appending import limits
from event_store.log.appending.errors import InvalidRequest, QueueFull
from event_store.log.envelope import (
    FINGERPRINT_BYTES,
    KEY_BYTES,
    NEW_FROM_ZERO,
    TAGS_PER_CONDITION_MAX,
    Accepted,
    AppendRequest,
    ChainBroken,
    NewEvent,
    Verdict,
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Queued(Generic[T]):
    """A request, the ticket of its caller, its size in bytes, and the epoch it was decided in.

    Without an epoch (None) the request is good in any.
    """

    request: AppendRequest
    ticket: T
    size: int
    epoch: int | None = None


@dataclass(slots=True)
class Batcher(Generic[T]):
    """The queue of requests, and the batches made of it."""

    queue: deque[Queued[T]] = field(default_factory=deque)
    reserved: int = 0
    broken: dict[int, None] = field(default_factory=dict)
    batch_room: int = limits.BATCH_REQUESTS_MAX
    """Requests of the size of the last ones that a batch takes."""

    @property
    def room(self) -> int:
        """Requests that may still be queued or reserved."""
        return limits.QUEUE_REQUESTS_MAX - len(self.queue) - self.reserved

    @property
    def full_batches(self) -> int:
        """Batches that are sent before a request that is queued now."""
        return len(self.queue) // self.batch_room

    def reserve(self, count: int, *, batch_s: float = 0.0) -> None:
        """Hold room for `count` requests, to be given back by `release` as they are offered.

        Raises:
            QueueFull: as `require`.
        """
        self.require(count, batch_s=batch_s)
        self.reserved += count

    def require(self, count: int, *, batch_s: float = 0.0) -> None:
        """Refuse what cannot be queued, or would wait too long if each full batch before it takes `batch_s` seconds.

        Raises:
            QueueFull: there is no room for `count` requests, or the batches before them take too long.
        """
        if count > self.room:
            raise QueueFull(f"{count} requests do not fit: {self.room} places are left")
        wait_s = self.full_batches * batch_s
        if wait_s > (limits.WAIT_S_MAX if count == 1 else limits.WAIT_OF_MANY_S_MAX):
            raise QueueFull(f"{len(self.queue)} requests wait already, the last of them for {wait_s:.1f} s")

    def release(self, count: int) -> None:
        """Give reserved room back."""
        assert count <= self.reserved
        self.reserved -= count

    def offer(self, request: AppendRequest, ticket: T, *, epoch: int | None = None) -> None:
        """Queue a request.

        Raises:
            InvalidRequest: it breaks a limit or cannot be stored as it is.
            QueueFull: there is no room. Either breaks the request's chain, of which nothing is sent any more.
        """
        try:
            size = validated_size(request)
            self._require_place()
        except (InvalidRequest, QueueFull):
            if request.chain is not None:
                self._break(request.chain)
            raise
        self.queue.append(Queued(request, ticket, size, epoch))

    def take(
        self, *, in_flight: Sequence[Queued[T]] | None = None
    ) -> tuple[list[Queued[T]], list[tuple[T, Verdict]]]:
        """The next batch, and the verdicts of queued requests whose chain is broken. Both are empty when none waits.

        Who can send a batch while another is at the server says which one is (an empty one for none). Then callers are
        parted: one half's requests are at the server while the other half's are answered and made. The batch is empty
        when it should grow first, or when the next request's chain waits for the other batch.
        """
        batch: list[Queued[T]] = []
        refused: list[tuple[T, Verdict]] = []
        size, share = 0, self._share(in_flight)
        chains_out = {queued.request.chain for queued in in_flight or ()} - {None}
        chains: set[int | None] = set()
        while self.queue and len(batch) < limits.BATCH_REQUESTS_MAX:
            queued = self.queue[0]
            chain = queued.request.chain
            if chain in self.broken:
                refused.append((self.queue.popleft().ticket, ChainBroken()))
                continue
            if (
                chain in chains_out
                or (len(batch) >= share and chain not in chains)
                or (batch and size + queued.size > limits.BATCH_BYTES_MAX)
            ):
                break
            size += queued.size
            if chain is not None:
                chains.add(chain)
            batch.append(self.queue.popleft())
        if batch:
            fitting = len(batch) * limits.BATCH_BYTES_MAX // max(size, 1)
            self.batch_room = max(1, min(fitting, limits.BATCH_REQUESTS_MAX))
        return batch, refused

    def ready(self, in_flight: Sequence[Queued[T]]) -> bool:
        """Whether enough waits for a batch that overlaps that one; whether chains let it go, `take` finds out."""
        return self._share(in_flight) > 0

    def _require_place(self) -> None:
        if self.room < 1:
            raise QueueFull(f"{limits.QUEUE_REQUESTS_MAX} requests wait already")

    def _share(self, in_flight: Sequence[Queued[T]] | None) -> int:
        """How many requests the next batch should hold, if they belong to no chain of it."""
        waiting = len(self.queue)
        if in_flight is None:
            return waiting
        if not in_flight:
            return waiting if waiting < 2 * limits.BATCH_HALF_MIN else (waiting + 1) // 2
        if waiting < max(len(in_flight), limits.BATCH_HALF_MIN):
            return 0
        return (waiting + len(in_flight) + 1) // 2

    def settle(self, batch: Sequence[Queued[T]], verdicts: Sequence[Verdict]) -> list[tuple[T, Verdict]]:
        """Note the verdicts of a batch; each caller's ticket with its verdict."""
        assert len(batch) == len(verdicts)
        for queued, verdict in zip(batch, verdicts, strict=True):
            if queued.request.chain is not None and not isinstance(verdict, Accepted):
                self._break(queued.request.chain)
        return [(queued.ticket, verdict) for queued, verdict in zip(batch, verdicts, strict=True)]

    def fail(self, batch: Sequence[Queued[T]]) -> list[T]:
        """Note that a batch has no verdicts; the tickets of its callers. Its chains break, so that order is kept."""
        for queued in batch:
            if queued.request.chain is not None:
                self._break(queued.request.chain)
        return [queued.ticket for queued in batch]

    def _break(self, chain: int) -> None:
        self.broken[chain] = None
        while len(self.broken) > limits.BROKEN_CHAINS_MAX:
            del self.broken[next(iter(self.broken))]


def validated_size(request: AppendRequest) -> int:
    """The size of a request in bytes of payload and metadata.

    Raises:
        InvalidRequest: it breaks a limit, or holds what Postgres cannot store: one bad request must not fail a batch.
    """
    if len(request.key) != KEY_BYTES or len(request.fingerprint) != FINGERPRINT_BYTES:
        raise InvalidRequest(f"a key has {KEY_BYTES} bytes, a fingerprint {FINGERPRINT_BYTES}")
    if len(request.events) > limits.REQUEST_EVENTS_MAX:
        raise InvalidRequest(
            f"{len(request.events)} events are more than {limits.REQUEST_EVENTS_MAX} in one request"
        )
    _check_expectations(request)
    for condition in request.conditions:
        if not 1 <= len(set(condition.tags)) == len(condition.tags) <= TAGS_PER_CONDITION_MAX:
            raise InvalidRequest(f"a condition names 1 to {TAGS_PER_CONDITION_MAX} tags, none twice")
        for tag in condition.tags:
            _check_tag(tag)
        if any(not type_name or " " in type_name for type_name in condition.types):
            raise InvalidRequest("a condition names event types that are not empty and hold no space")
    if request.tracking is not None:
        _check_text(request.tracking.consumer, "consumer", limits.STREAM_CHARACTERS_MAX)
        _check_text(request.tracking.application, "application", limits.STREAM_CHARACTERS_MAX)
    size = sum([_event_size(event) for event in request.events])
    if size > limits.REQUEST_BYTES_MAX:
        raise InvalidRequest(f"{size} bytes are more than {limits.REQUEST_BYTES_MAX} in one request")
    return size


def _check_expectations(request: AppendRequest) -> None:
    expected = {expectation.stream for expectation in request.expectations}
    if len(expected) != len(request.expectations):
        raise InvalidRequest("a stream is named twice in the expectations of one request")
    for expectation in request.expectations:
        _check_text(expectation.stream, "stream", limits.STREAM_CHARACTERS_MAX)
        if expectation.version < NEW_FROM_ZERO:
            raise InvalidRequest(f"{expectation.version} is not an expected version")
    for event in request.events:
        if event.stream not in expected:
            raise InvalidRequest(
                f"stream {event.stream!r} has no expectation: name ANY if every version will do"
            )


def _event_size(event: NewEvent) -> int:
    _check_text(event.type, "type", limits.TYPE_CHARACTERS_MAX)
    if event.partition_key is not None:
        _check_text(event.partition_key, "partition key", limits.STREAM_CHARACTERS_MAX)
    if len(event.tags) > limits.EVENT_TAGS_MAX or len(set(event.tags)) != len(event.tags):
        raise InvalidRequest(f"an event has at most {limits.EVENT_TAGS_MAX} tags, none twice")
    for tag in event.tags:
        _check_tag(tag)
    _check_json(event.payload, "payload")
    _check_json(event.metadata, "metadata")
    return len(event.payload) + len(event.metadata)


def _check_tag(tag: str) -> None:
    _check_text(tag, "tag", limits.TAG_CHARACTERS_MAX)
    if "\n" in tag:  # the separator of a condition's tags
        raise InvalidRequest("a tag may not hold a line feed")


def _check_text(text: str, name: str, characters_max: int) -> None:
    if not 0 < len(text) <= characters_max:
        raise InvalidRequest(f"a {name} has 1 to {characters_max} characters, not {len(text)}")
    if "\0" in text:
        raise InvalidRequest(f"a {name} may not hold NUL")
    if not text.isascii():
        _check_unicode(text, name)


def _check_unicode(text: str, name: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequest(f"a {name} holds a lone surrogate") from error


def _check_json(document: bytes, name: str) -> None:
    """Text that passes here is valid for Postgres' `json`."""
    try:
        msgspec.json.decode(document, type=msgspec.Raw)
        document.decode()
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"a {name} is not JSON in UTF-8: {error}") from error
