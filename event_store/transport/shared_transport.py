"""One subscription for several consumers of a process: what is fetched and decoded once is handed to each of them.

Members of a group in one process share its partitions instead of dividing them, and each takes what was brought at its
own pace. There is no thread for it: a member with nothing left polls for all, the others wait for what it brings. So
none depends on another one that is paused, or begins anew.
"""

import threading
import time
from collections.abc import Callable
from typing import Final

from event_store.transport.transport import (
    POLL_RECORDS_MAX,
    Batch,
    Carrier,
    Generation,
    Partition,
    Publisher,
    Record,
    Subscription,
    Transport,
    TransportUnavailable,
)

WAITING_RECORDS_MAX: Final = 20_000
"""Records that may wait for one member. Beyond that all are dropped: its follower reads the gap from the log."""


class SharedTransport:
    """A transport whose subscriptions are shared by group and generation. Any thread."""

    def __init__(self, transport: Transport, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._transport = transport
        self._clock = clock
        self._opening = threading.Lock()
        self._opened: dict[tuple[str, int], _Shared] = {}

    @property
    def carrier(self) -> Carrier:
        """That of the transport itself."""
        return self._transport.carrier

    def publisher(self, generation: Generation) -> Publisher:
        """Open a publisher of the transport itself."""
        return self._transport.publisher(generation)

    def subscribe(self, group: str, *, generation: Generation) -> "SharedSubscription":
        """Join what this process has subscribed to already, or subscribe."""
        name = (group, generation.generation)
        with self._opening:
            shared = self._opened.get(name)
            member = None if shared is None else shared.join()
            if member is None:
                subscription = self._transport.subscribe(group, generation=generation)
                self._opened[name] = _Shared(subscription, clock=self._clock)
                member = self._opened[name].join()
            assert member is not None, "opened just now"
            return member


class SharedSubscription:
    """One member. One thread, which may differ from those of the other members."""

    def __init__(self, shared: "_Shared", *, owned: set[Partition]) -> None:
        """`owned` are the partitions that are the process's by now."""
        self._shared = shared
        self._waiting = Batch(records={}, assigned=owned, revoked=set())
        self.hints: dict[Partition, int] = {}
        """Up to where this member would be willing to begin again."""

    def poll(self, timeout_s: float, *, max_records: int = POLL_RECORDS_MAX) -> Batch:
        """Take what waits, or wait up to `timeout_s` for what this member or another one brings."""
        return self._shared.poll(self, timeout_s, max_records=max_records)

    def start_at(self, source: Partition, *, position: int) -> int:
        """Deliver from where the subscription stands by now, or start it where no member has."""
        return self._shared.start_at(self, source, position=position)

    def commit(self, source: Partition, *, position: int) -> None:
        """Pass the lowest position of all members on."""
        self._shared.commit(self, source, position=position)

    def close(self) -> None:
        """Leave; the last member closes the subscription."""
        self._shared.leave(self)

    @property
    def idle(self) -> bool:
        """Whether nothing waits for this member."""
        return not (self._waiting.records or self._waiting.assigned or self._waiting.revoked)

    def forget(self, source: Partition) -> None:
        """Drop what waits of a partition."""
        self._waiting.records.pop(source, None)

    def give(self, batch: Batch) -> None:
        """Let a batch wait behind what waits already."""
        waiting = self._waiting
        for source in batch.revoked:
            self.forget(source)
        waiting.revoked |= batch.revoked
        waiting.assigned = (waiting.assigned - batch.revoked) | batch.assigned
        for source, records in batch.records.items():
            waiting.records.setdefault(source, []).extend(records)
        if sum(map(len, waiting.records.values())) > WAITING_RECORDS_MAX:
            waiting.records = {}

    def take(self, max_records: int, *, drained: bool) -> Batch:
        """What waits, up to so many records; `drained` says whether the subscription had nothing more."""
        taken = self._waiting
        self._waiting = Batch(records={}, assigned=set(), revoked=set())
        if taken.count > max_records:
            taken.records, self._waiting.records = _split(taken.records, max_records)
        taken.drained = drained and self.idle
        return taken


class _Shared:
    """A subscription and its members. It is for one thread: what they ask of it is done by the one that polls next."""

    def __init__(self, subscription: Subscription, *, clock: Callable[[], float]) -> None:
        self._subscription = subscription
        self._clock = clock
        self._changed = threading.Condition()
        self._members: list[SharedSubscription] = []
        self._owned: set[Partition] = set()
        self._reached: dict[Partition, int] = {}
        """Up to where each partition that was started has been handed out."""
        self._starts: dict[Partition, int] = {}
        self._hints: dict[Partition, int] = {}
        self._polled = False
        """Whether a member polls the subscription at this moment."""
        self._drained = False
        self._failure: Exception | None = None
        self._closed = False

    def join(self) -> SharedSubscription | None:
        """A further member; None once the subscription failed or was closed."""
        with self._changed:
            if self._failure is not None or self._closed:
                return None
            member = SharedSubscription(self, owned=set(self._owned))
            self._members.append(member)
            return member

    def leave(self, member: SharedSubscription) -> None:
        """Close the subscription behind the last member, or behind the first that leaves one that failed."""
        with self._changed:
            self._members.remove(member)
            closes = not self._closed and (not self._members or self._failure is not None)
            self._closed = self._closed or closes
        if closes:
            self._subscription.close()

    def poll(self, member: SharedSubscription, timeout_s: float, *, max_records: int) -> Batch:
        """What waits for a member; it polls the subscription if nothing does and no other member polls."""
        deadline = self._clock() + timeout_s
        with self._changed:
            while member.idle:
                if self._failure is not None:
                    raise TransportUnavailable(f"polling ended for all members: {self._failure}")
                if not self._polled:
                    self._polled = True
                    break
                if not self._changed.wait(max(0.0, deadline - self._clock())):
                    return member.take(max_records, drained=self._drained)
            else:
                return member.take(max_records, drained=self._drained)
            starts, self._starts = self._starts, {}
            hints, self._hints = self._hints, {}
        try:
            for source, position in starts.items():
                self._subscription.start_at(source, position=position)
            for source, position in hints.items():
                self._subscription.commit(source, position=position)
            batch = self._subscription.poll(max(0.0, deadline - self._clock()), max_records=max_records)
        except Exception as error:
            with self._changed:
                self._failure = error
                self._changed.notify_all()
            raise
        with self._changed:
            self._hand_out(batch)
            return member.take(max_records, drained=self._drained)

    def start_at(self, member: SharedSubscription, source: Partition, *, position: int) -> int:
        """From where a member is delivered a partition: from `position` on, or from where the others are."""
        with self._changed:
            member.forget(source)
            reached = self._reached.get(source)
            if reached is not None:
                return max(reached, position)
            if source in self._owned:
                self._starts[source] = self._reached[source] = position
            return position

    def commit(self, member: SharedSubscription, source: Partition, *, position: int) -> None:
        """Note how far a member is; the broker gets what all have passed."""
        with self._changed:
            member.hints[source] = position
            hints = [each.hints.get(source) for each in self._members]
            known = [hint for hint in hints if hint is not None]
            if len(known) == len(hints):
                self._hints[source] = min(known)

    def _hand_out(self, batch: Batch) -> None:
        self._polled = False
        self._drained = batch.drained
        self._owned = (self._owned - batch.revoked) | batch.assigned
        for source in batch.revoked | batch.assigned:
            for kept in (self._reached, self._starts, self._hints):
                kept.pop(source, None)
        for source, records in batch.records.items():
            self._reached[source] = records[-1].position
        for member in self._members:
            member.give(batch)
        self._changed.notify_all()


def _split(
    records: dict[Partition, list[Record]], count: int
) -> tuple[dict[Partition, list[Record]], dict[Partition, list[Record]]]:
    """The first so many records of all partitions, and the others."""
    first: dict[Partition, list[Record]] = {}
    rest: dict[Partition, list[Record]] = {}
    for source, some in records.items():
        if count > 0:
            first[source] = some[:count]
        if len(some) > count > 0 or count <= 0:
            rest[source] = some[max(0, count) :]
        count -= len(some)
    return first, rest
