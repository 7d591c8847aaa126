"""Whatever the sealer was doing when it died, no two checkpoints that left it are inconsistent."""

import itertools
import random
from pathlib import Path

import pytest

from event_store.proofs import checkpoint, merkle, note
from event_store.proofs.checkpoint import Checkpoint
from event_store.proofs.ledger import SealRows
from event_store.proofs.merkle import Leaves
from event_store.proofs.tiles import Directory
from tests.event_store.proofs.sealing import KEY, NEXT, damage, leaves, remembered, seal, sealing
from tests.event_store.transport.carrying import append

WRITES_MAX = 40
"""More than one checkpoint takes."""


class Killed(BaseException):
    """As SIGKILL: nothing behind it runs, and nothing cleans up but what would have happened anyway."""


class Fuse:
    """Kills the sealer at one of its writes, before or after it is done."""

    def __init__(self):
        self.at = None
        self.after = False
        self.writes = 0

    def run(self, do, *, half=lambda: None):
        self.writes += 1
        if self.writes != self.at:
            return do()
        if not self.after:
            half()
            raise Killed
        do()
        raise Killed

    def light(self, at, *, after):
        self.at, self.after, self.writes = at, after, 0


class Fused(Directory):
    """Tiles whose writes may be the last that a sealer did; one that was not finished leaves half a file."""

    def __init__(self, root: Path, fuse: Fuse):
        super().__init__(root)
        self._fuse = fuse

    def write(self, name: str, content: bytes) -> None:
        def half():
            (self.root / ".unfinished").mkdir(parents=True, exist_ok=True)
            (self.root / ".unfinished" / "half").write_bytes(content[: len(content) // 2])

        self._fuse.run(lambda: super(Fused, self).write(name, content), half=half)

    def discard(self, name: str) -> None:
        self._fuse.run(lambda: super(Fused, self).discard(name))


@pytest.fixture
def fuse(monkeypatch: pytest.MonkeyPatch) -> Fuse:
    """Also at what is written to Postgres."""
    fuse = Fuse()
    for name in ("begin", "move", "hand_over"):
        original = getattr(SealRows, name)

        def burning(self, *arguments, original=original, **options):
            done = []
            fuse.run(lambda: done.append(original(self, *arguments, **options)))
            return done[0]

        monkeypatch.setattr(SealRows, name, burning)
    return fuse


def seen(url: str, store: Directory) -> list[Checkpoint]:
    """What anybody may have got hold of by now."""
    content = store.read("checkpoint")
    stored = [] if content is None else [checkpoint.parse(note.parse(content).text)]
    return [*stored, remembered(url)]


def assert_one_history(checkpoints: list[Checkpoint], tree: Leaves) -> None:
    for each in checkpoints:
        assert merkle.root(each.size, tree) == each.root, each.size
    ordered = sorted(set(checkpoints), key=lambda each: each.size)
    for old, new in itertools.pairwise(ordered):
        proof = merkle.consistency_proof(old.size, new.size, tree)
        merkle.verify_consistency(old=old.size, old_root=old.root, size=new.size, root=new.root, proof=proof)


def test_killed_at_any_write_the_sealer_signs_one_history(database_url: str, tmp_path: Path, fuse: Fuse):
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    store, checkpoints, kills = Fused(tmp_path / "tiles", fuse), [], 0
    seal(database_url, store)
    for after in (False, True):
        for at in itertools.count(1):
            append(database_url, chance.choice([1, 7, 255, 300]))
            fuse.light(at, after=after)
            keys = (NEXT, KEY) if after else (KEY,)
            try:
                seal(database_url, store, *keys)
            except Killed:
                kills += 1
            else:
                break  # past the last write of a checkpoint
            checkpoints += seen(database_url, store)
            if chance.random() < 0.3:  # the disk went with the machine
                store.discard("tile")
            assert at < WRITES_MAX
    fuse.light(None, after=False)
    checkpoints.append(remembered(database_url))

    assert kills > 10
    assert_one_history(checkpoints, Leaves(leaves(database_url)))


def test_killed_between_tiles_and_checkpoint_a_log_that_then_lost_its_end_is_sealed_as_it_is(
    database_url: str, tmp_path: Path, fuse: Fuse
):
    """What was written and not signed binds nobody: a standby that was promoted may never have got those events."""
    store = Fused(tmp_path / "tiles", fuse)
    append(database_url, 100)
    seal(database_url, store)
    append(database_url, 300)
    fuse.light(4, after=False)  # behind the three tiles
    with pytest.raises(Killed), sealing(database_url, store) as hosted:
        hosted.round()
    fuse.light(None, after=False)
    damage(database_url, "delete from log.event where position > 200; update log.head set position = 200")
    append(database_url, 50)

    assert 250 == seal(database_url, store).size
    assert_one_history(seen(database_url, store), Leaves(leaves(database_url)))
