"""The rule by which documents are trusted, for one build as one pair of snapshots of the log's state knows it.

A document is trusted as far as its partition's mirror checkpoint, read at the same moment, and only while that
checkpoint is not behind what SQL had a second ago. A cache that was down, flushed, lost its tail or came back with old
content therefore answers nothing until its worker has mirrored anew.
"""

from collections.abc import Mapping
from typing import Self

from event_store.transport.partitioning import partition_of
from event_store.transport.position_token import PositionToken
from projections.storing import BuildId
from read_api.checkpoints import Checkpoints, CheckpointSnapshot, LiveBuild
from read_api.reading.resource import Found
from runtime import documents


class MirroredDocuments:
    """The documents of a live build; replaced as soon as either snapshot is another."""

    def __init__(
        self,
        document: str,
        build: LiveBuild,
        *,
        latest: CheckpointSnapshot,
        settled: CheckpointSnapshot,
        since: float,
    ) -> None:
        """`latest` is the newest snapshot; what SQL had in `settled`, the mirror must have. `document` names them.

        At the time `since` the newest snapshot was there. Checkpoints asked for from then on may be used with it: one
        that was taken back before a parked key was retried is not used with a snapshot in which that key is whole.
        """
        self.since = since
        self.latest = latest
        self.settled = settled
        self.build = build
        self.prefix = documents.prefix(
            document, installation=latest.installation, epoch=latest.epoch, build=build.id.label
        )
        self.checkpoint_keys = {
            partition: documents.checkpoint_key(self.prefix, partition=partition)
            for partition in build.checkpoints.positions
        }
        self._partitions = latest.partitions.get(build.checkpoints.generation, 0)
        self._before = settled.builds.get(build.id.view, build).checkpoints
        if self._before.generation != build.checkpoints.generation:
            self._before = build.checkpoints  # partitions were counted anew since
        self._trusted: dict[int, tuple[bytes, Checkpoints | None]] = {}

    @classmethod
    def of(
        cls,
        view: str,
        document: str,
        *,
        latest: CheckpointSnapshot,
        settled: CheckpointSnapshot,
        since: float,
    ) -> Self | None:
        """The mirror of the build that is live for a view; None: none is."""
        build = latest.builds.get(view)
        return None if build is None else cls(document, build, latest=latest, settled=settled, since=since)

    @property
    def names(self) -> tuple[BuildId, int, int]:
        """Build, epoch and generation, which must be those of whatever is compared with it."""
        return self.build.id, self.latest.epoch, self.build.checkpoints.generation

    def partition(self, partition_key: str) -> int | None:
        """The partition of a key; None where only SQL can answer for it."""
        # What is parked is known as far as the latest snapshot goes, so that is how far an answer from here may go.
        if not self._partitions or self.build.may_be_parked(partition_key):
            return None
        own = partition_of(partition_key, self._partitions)
        return own if own in self.checkpoint_keys else None

    def may_have(self, token: PositionToken | None) -> bool:
        """Whether the latest snapshot saw the token reached, partition by partition."""
        if token is None:
            return True
        positions = self.build.checkpoints.positions
        return token.generation == self.build.checkpoints.generation and all(
            positions.get(p, -1) >= at for p, at in token.partitions.items()
        )

    def required(self, partition: int) -> int:
        """The position that a partition's checkpoint must have reached."""
        return self._before.positions[partition]

    def trusted(self, own: int, checkpoint: bytes) -> Checkpoints | None:
        """How far a document of partition `own` goes, given that partition's checkpoint; None: it is not trusted."""
        known = self._trusted.get(own)
        if known is None or known[0] is not checkpoint:
            known = self._trusted[own] = checkpoint, self.trusted_with(None, own, {own: checkpoint})
        return known[1]

    def trusted_with(
        self, token: PositionToken | None, own: int, checkpoints: Mapping[int, bytes]
    ) -> Checkpoints | None:
        """The same for a reader who also asks for a token, given the checkpoints of its partitions, too."""
        try:
            mirrored = {p: documents.parse_checkpoint(value).position for p, value in checkpoints.items()}
        except ValueError:
            return None  # not written by a worker of ours
        if mirrored[own] < self.required(own):
            return None
        if token is not None and any(mirrored[p] < at for p, at in token.partitions.items()):
            return None
        stood = self.build.checkpoints
        positions = {p: min(at, stood.positions[p]) for p, at in mirrored.items()}
        return Checkpoints(self.latest.epoch, stood.generation, positions)

    def is_within(self, checkpoint: bytes, position: int) -> bool:
        """Whether a checkpoint is one of ours and not beyond a position."""
        try:
            return documents.parse_checkpoint(checkpoint).position <= position
        except ValueError:
            return False

    def found(self, document: bytes, checkpoints: Checkpoints | None) -> Found | None:
        """What a document says; None where it is not trusted."""
        if checkpoints is None:
            return None
        try:
            position, body = documents.parse_document(document)
        except ValueError:
            return None  # not written by a worker of ours
        return Found(build=self.build.id, body=body, position=position, checkpoints=checkpoints)
