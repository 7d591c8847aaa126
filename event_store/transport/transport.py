"""The transport from the log to its consumers: the record, the protocols to publish and subscribe, errors.

Errors:
    TransportError
    ├── PublishFailed          at least one record was not acknowledged; start again from the relay's row
    ├── TransportUnavailable   the carrier cannot be reached now; try again with backoff
    ├── MalformedRecord        bytes that no relay of ours wrote
    ├── GenerationEnded        a newer generation exists; subscribe to it
    ├── Fork                   what was carried is not what the log holds at that position; an operator must act
    └── RefusedByWitness       a witness knows another history of this log; an operator must act
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal, Protocol

import msgspec

from event_store.consumers.errors import OpenAgain

Partition = int
"""Number, from 0, of one ordered sequence of records."""

Carrier = Literal["kafka", "local"]

POLL_RECORDS_MAX = 5_000
"""Most records one poll hands over."""


class TransportError(Exception):
    """Carrying events failed."""


class PublishFailed(TransportError):
    """At least one record was not acknowledged by the carrier."""


class TransportUnavailable(TransportError):
    """The carrier cannot be reached at the moment."""


class MalformedRecord(TransportError):
    """A carried message is not a record of the relay."""


class GenerationEnded(OpenAgain, TransportError):
    """A newer generation exists: bring the old one to its end from the log, then enter the new one."""


class Fork(TransportError):
    """The log does not hold the carried event at its position: history was cut off and written anew."""

    def __init__(self, *, position: int, carried: bytes, logged: bytes | None) -> None:
        """Name the position, the leaf that was carried and the log's leaf there (None: no such event)."""
        found = "no event" if logged is None else f"leaf {logged.hex()[:16]}"
        super().__init__(
            f"position {position}: carried leaf {carried.hex()[:16]}, but the log holds {found};"
            " after a restore or promotion run `counterfoil log fence`"
        )
        self.position = position
        self.carried = carried
        self.logged = logged


class RefusedByWitness(TransportError):
    """A witness has cosigned another history of this log: it was set back or forked, and is carried no further."""

    def __init__(self, refusal: str) -> None:
        """The refusal names the witness, what it knows, and the remedy."""
        super().__init__(f"nothing is carried: {refusal}")


class Numbering(msgspec.Struct, frozen=True):
    """Under which number checkpoints of partitions stand, and how many partitions there are."""

    generation: int
    partitions: int


WHOLE_LOG: Final = Numbering(generation=0, partitions=1)
"""The log itself as one partition: for those who need its exact order and tail it. No transport carries it."""


class Generation(Numbering, frozen=True):
    """A numbering that a transport carries: topic names, relay rows and checkpoints are keyed by its number.

    `installation` is the id of the installation whose log it carries: two may number their generations alike.
    `start_position` is the first position it carries. `carrier` is None until the first relay settled it.
    """

    installation: str
    start_position: int
    carrier: Carrier | None = None


class Record(msgspec.Struct, frozen=True, gc=False):
    """One event as carried in one partition.

    `prev` is the position of the record before it in the same partition and generation (the generation's
    start - 1 for the first), `key` the partition key, `payload` and `metadata` the bytes stored in the log.
    """

    partition: Partition
    prev: int
    position: int
    key: str
    stream: str
    version: int
    type: str
    payload: bytes
    metadata: bytes
    recorded_at: datetime
    leaf: bytes
    epoch: int


class Batch(msgspec.Struct):
    """The result of one poll.

    `records` are in carried order per partition: they may repeat, be missing or be out of order; `link.link`
    decides. `assigned` are partitions that became ours since the poll before (each needs `start_at` before it
    delivers), `revoked` those that no longer are (stop writing for them, drop what is buffered). `drained` says
    that the transport had nothing more at this moment: only then is a silent partition suspicious.
    """

    records: dict[Partition, list[Record]]
    assigned: set[Partition]
    revoked: set[Partition]
    drained: bool = True

    @property
    def count(self) -> int:
        """Number of records in all partitions."""
        return sum(len(records) for records in self.records.values())


class Publisher(Protocol):
    """Puts records of one generation where its subscriptions find them. Not shared between threads."""

    def publish(self, records: Sequence[Record]) -> None:
        """Return when all records are acknowledged; raise PublishFailed or TransportUnavailable otherwise."""

    def last_records(self) -> dict[Partition, Record] | None:
        """Return the newest record of every partition that holds one; None where nothing is held but the log."""

    def close(self) -> None:
        """Close connections; unacknowledged records are abandoned."""


class Subscription(Protocol):
    """One member of a consumer group, reading one generation. Not shared between threads."""

    def poll(self, timeout_s: float, *, max_records: int = POLL_RECORDS_MAX) -> Batch:
        """Wait up to `timeout_s` for records; raise TransportUnavailable when the carrier is gone."""

    def start_at(self, source: Partition, *, position: int) -> int:
        """Deliver an assigned partition from the first record after `position` on (earlier may repeat).

        Returns the position after which it is delivered: a later one where it was started before for another consumer
        of this process. What lies between is to be read from the log.
        """

    def commit(self, source: Partition, *, position: int) -> None:
        """Leave a hint for operators and the next `start_at`; the consumer's checkpoint row is the truth."""

    def close(self) -> None:
        """Leave the group."""


class Transport(Protocol):
    """A way to carry events: Kafka, or the log itself."""

    @property
    def carrier(self) -> Carrier:
        """Which of the two; a generation belongs to one carrier."""

    def publisher(self, generation: Generation) -> Publisher:
        """Open a publisher, creating what the generation needs; raise TransportUnavailable."""

    def subscribe(self, group: str, *, generation: Generation) -> Subscription:
        """Join a consumer group of a generation."""
