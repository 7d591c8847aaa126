"""The log in memory, with the verdicts, positions, versions and leaves of `log.append_batch`.

It is the model that the state-machine tests hold the SQL against, and the log of the seeded simulations.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType

from msgspec import structs

from event_store.log.envelope import (
    ANY,
    EXISTS,
    NEW_FROM_ZERO,
    Accepted,
    AppendRequest,
    ChainBroken,
    ConditionFailed,
    Expectation,
    FingerprintMismatch,
    RecordedEvent,
    Replayed,
    TrackedAlready,
    Verdict,
    WrongVersion,
)
from event_store.log.leaf import leaf_of

_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class WrongEpoch(Exception):
    """The caller's epoch is not the log's; nothing was stored."""


class MemoryLog:
    """A log that lives as long as the process. Not for several threads."""

    def __init__(self, *, epoch: int = 1, now: datetime = _UNIX_EPOCH) -> None:
        self.epoch = epoch
        self.now = now
        self.events: list[RecordedEvent] = []
        self._streams: dict[str, list[RecordedEvent]] = defaultdict(list)
        self._tags: dict[str, list[RecordedEvent]] = defaultdict(list)
        self._tracked: dict[tuple[str, str], int] = {}
        self._outcomes: dict[bytes, tuple[bytes, Accepted]] = {}

    @property
    def outcomes(self) -> Mapping[bytes, tuple[bytes, Accepted]]:
        """By key: the fingerprint of the request that was accepted, and its verdict."""
        return MappingProxyType(self._outcomes)

    @property
    def position(self) -> int:
        """The last position, 0 when the log is empty."""
        return len(self.events)

    def version(self, stream: str) -> int:
        """The version of a stream, 0 when it has no event."""
        events = self._streams.get(stream)
        return events[-1].version if events else 0

    def append_batch(self, requests: Sequence[AppendRequest], *, epoch: int) -> list[Verdict]:
        """Verdicts in the order of the requests; later ones see what earlier ones stored.

        Raises:
            WrongEpoch: nothing was stored.
        """
        if epoch != self.epoch:
            raise WrongEpoch(f"the log is in epoch {self.epoch}, the caller in epoch {epoch}")
        broken: set[int] = set()
        verdicts: list[Verdict] = []
        for request in requests:
            verdict = self._append(request, broken)
            if request.chain is not None and not isinstance(verdict, Accepted):
                broken.add(request.chain)
            verdicts.append(verdict)
        return verdicts

    def read_after(self, position: int, *, limit: int | None = None) -> list[RecordedEvent]:
        """Events behind a position, in order."""
        return self.events[position : None if limit is None else position + limit]

    def read_stream(self, stream: str, *, after_version: int = -1) -> list[RecordedEvent]:
        """Events of one stream behind a version, in order."""
        return [event for event in self._streams.get(stream, ()) if event.version > after_version]

    def tagged(self, tags: Sequence[str], types: Sequence[str], *, after: int = 0) -> list[RecordedEvent]:
        """Events that carry all of these tags and have any of these types (none: any), behind a position in order."""
        first, *others = tags
        return [
            event
            for event in self._tags.get(first, ())
            if event.position > after
            and (not types or event.type in types)
            and all(event in self._tags.get(tag, ()) for tag in others)
        ]

    def _append(self, request: AppendRequest, broken: set[int]) -> Verdict:
        if (outcome := self._outcomes.get(request.key)) is not None:
            fingerprint, accepted = outcome
            if fingerprint != request.fingerprint:
                return FingerprintMismatch()
            return Replayed(accepted.first, accepted.last, accepted.versions)
        if request.chain in broken:
            return ChainBroken()
        if (refusal := self._refusal(request)) is not None:
            return refusal
        accepted = self._store(request)
        self._outcomes[request.key] = (request.fingerprint, accepted)
        return accepted

    def _refusal(self, request: AppendRequest) -> WrongVersion | ConditionFailed | TrackedAlready | None:
        for expectation in request.expectations:
            if not self._holds(expectation):
                return WrongVersion(expectation.stream, expectation.version, self.version(expectation.stream))
        for condition in request.conditions:
            for event in self.tagged(condition.tags, condition.types, after=condition.after):
                return ConditionFailed(condition, event.position)
        if (tracking := request.tracking) is not None:
            tracked = self._tracked.get((tracking.consumer, tracking.application))
            if tracked is not None and tracked >= tracking.position:
                return TrackedAlready(tracked)
        return None

    def _holds(self, expectation: Expectation) -> bool:
        actual = self.version(expectation.stream)
        match expectation.version:
            case version if version == ANY:
                return True
            case version if version == EXISTS:
                return actual > 0
            case version if version == NEW_FROM_ZERO:
                return not self._streams.get(expectation.stream)
            case exact:
                return actual == exact

    def _store(self, request: AppendRequest) -> Accepted:
        first = self.position + 1
        if (tracking := request.tracking) is not None:
            self._tracked[tracking.consumer, tracking.application] = tracking.position
        from_zero = {
            expected.stream for expected in request.expectations if expected.version == NEW_FROM_ZERO
        }
        for new in request.events:
            begins_at_zero = new.stream in from_zero and not self._streams.get(new.stream)
            position, version = self.position + 1, 0 if begins_at_zero else self.version(new.stream) + 1
            unsealed = RecordedEvent(
                position=position,
                stream=new.stream,
                version=version,
                type=new.type,
                payload=new.payload,
                metadata=new.metadata,
                recorded_at=self.now,
                leaf=b"",
                partition_key=new.partition_key,
            )
            event = structs.replace(unsealed, leaf=leaf_of(unsealed, epoch=self.epoch))
            self.events.append(event)
            self._streams[new.stream].append(event)
            for tag in new.tags:
                self._tags[tag].append(event)
        versions = tuple(self.version(expectation.stream) for expectation in request.expectations)
        if not request.events:
            return Accepted(0, 0, versions)
        return Accepted(first, self.position, versions)
