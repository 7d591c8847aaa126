"""What policies know of the streams they decide over: what the log acknowledged, and what they hope for on top.

A state is hoped for from the moment its append is sent until that is acknowledged. When any append of the
chain is not accepted, all hope is dropped at once: what was decided on it was never true.
"""

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from commands.policies import policy
from commands.policies.policy import State
from domain.event import Event
from event_store import codec

STATES_MAX = 50_000
"""Acknowledged states kept, each two numbers and a code; the one touched longest ago goes first."""


class Fact(Struct, frozen=True, gc=False):
    """One stored event of a stream, as far as folding needs it."""

    version: int
    type: str
    payload: bytes


class Held(Struct):
    """A stream's version, its state (None: no event), and the number of the reading that confirmed it last."""

    version: int
    state: State | None
    read: int
    failure: str | None = None
    """Why the stored events cannot be folded; such a state decides nothing."""
    settled: int = 0
    """The number under which an append of this worker became part of it last; 0: none did."""


class StateTable:
    """States by stream, bounded: acknowledged ones below, hoped-for ones on top."""

    def __init__(self, *, states_max: int = STATES_MAX) -> None:
        self._states_max = states_max
        self._acknowledged: dict[str, Held] = {}
        self._hoped: dict[str, Held] = {}

    def newest(self, stream: str) -> Held | None:
        """The newest state, hoped for or acknowledged; None: not held."""
        return self._hoped.get(stream) or self._acknowledged.get(stream)

    def is_settled(self, stream: str, *, since: int) -> bool:
        """Whether the state comes from the log alone and was read at or after the reading of that number."""
        held = self._acknowledged.get(stream)
        return held is not None and held.read >= since and stream not in self._hoped

    def hopes_for(self, streams: Iterable[str]) -> bool:
        """Whether an append to any of these streams is on its way."""
        return not self._hoped.keys().isdisjoint(streams)

    def acknowledged_version(self, stream: str) -> int:
        """The version to read on from: 0 when the stream is not held."""
        held = self._acknowledged.get(stream)
        return 0 if held is None else held.version

    def hope(self, stream: str, *, version: int, state: State | None) -> Held:
        """Put a state on top that holds if the append just decided is accepted."""
        held = Held(version, state, 0)
        self._hoped[stream] = held
        return held

    def settle(self, reached: Mapping[str, Held], *, number: int) -> None:
        """Take the states of an accepted append as acknowledged, under a number behind those of all readings so far."""
        for stream, held in reached.items():
            if self._hoped.get(stream) is held:
                del self._hoped[stream]
            below = self._acknowledged.pop(stream, None)
            if below is None or below.version < held.version:
                self._acknowledged[stream] = Held(
                    held.version, held.state, 0 if below is None else below.read, settled=number
                )
            else:
                self._acknowledged[stream] = below
        self._evict()

    def drop_hope(self) -> None:
        """Forget everything that is not acknowledged."""
        self._hoped.clear()

    def drop_all(self) -> None:
        """Forget everything: the log may hold another history now."""
        self._hoped.clear()
        self._acknowledged.clear()

    def forget(self, stream: str) -> None:
        """Let go of a stream nobody will ask for again."""
        if stream not in self._hoped:
            self._acknowledged.pop(stream, None)

    def seed(self, stream: str, first: Event, *, read: int) -> None:
        """Take a stream's first event as its state at version 1, when nothing is held of it yet."""
        if stream not in self._acknowledged:
            self._acknowledged[stream] = Held(1, policy.evolve(stream, None, first), read)

    def take(self, stream: str, facts: Sequence[Fact], *, after: int, read: int) -> None:
        """Fold what was read of a stream after version `after`; no facts confirm what is held.

        What no longer continues the held state (it was let go while the reading was on its way) is ignored.

        Raises:
            codec.UnknownEventType: a newer version of the product wrote the stream; this one must not decide.
        """
        held = self._acknowledged.get(stream) or Held(0, None, read)
        if held.version < after:
            return
        for fact in facts:
            if fact.version == held.version + 1 and held.failure is None:
                _fold(stream, held, fact)
        held.read = max(held.read, read)
        self._acknowledged.pop(stream, None)
        self._acknowledged[stream] = held

    def missing(self, streams: Iterable[str]) -> list[str]:
        """Those streams of which no state is held."""
        return [
            stream for stream in streams if stream not in self._acknowledged and stream not in self._hoped
        ]

    def __len__(self) -> int:
        return len(self._acknowledged)

    def _evict(self) -> None:
        while len(self._acknowledged) > self._states_max:
            del self._acknowledged[next(iter(self._acknowledged))]


def _fold(stream: str, held: Held, fact: Fact) -> None:
    try:
        held.state = policy.evolve(stream, held.state, codec.decode(fact.type, fact.payload))
    except codec.MalformedEvent as error:
        held.failure = f"{stream} version {fact.version}: {error}"
    else:
        held.version = fact.version
