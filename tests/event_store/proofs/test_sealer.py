"""The sealer on a real log: what it signs, what it goes on from after losing things, and what it never signs."""

from pathlib import Path

import pytest

from event_store.consumers.errors import OpenAgain
from event_store.log import reading
from event_store.proofs import ledger, merkle, note, policy
from event_store.proofs.checkpoint import Checkpoint
from event_store.proofs.errors import Refused
from event_store.proofs.note import SignerKey
from event_store.proofs.tiles import Directory, Tiles
from runtime import database
from tests.event_store.proofs.sealing import (
    KEY,
    NEXT,
    ORIGIN,
    RELEAF,
    STRANGER,
    Clock,
    damage,
    leaves,
    published,
    remembered,
    seal,
    sealed,
    sealing,
)
from tests.event_store.transport.carrying import append


@pytest.fixture
def store(tmp_path: Path) -> Directory:
    return Directory(tmp_path / "tiles")


def test_a_log_is_sealed_up_to_its_head(database_url: str, store: Directory):
    append(database_url, 700)
    seal(database_url, store)
    expected = Checkpoint(ORIGIN, 700, merkle.root_of(leaves(database_url)))

    assert expected == published(store)
    assert expected == remembered(database_url)
    assert expected.root == merkle.root(700, Tiles(store, 700))


def test_an_empty_log_has_a_checkpoint_too(database_url: str, store: Directory):
    seal(database_url, store)

    assert Checkpoint(ORIGIN, 0, merkle.EMPTY_ROOT) == published(store)


def test_a_checkpoint_is_signed_each_second_or_for_a_thousand_events_and_only_when_the_log_grew(
    database_url: str, store: Directory
):
    clock, sizes = Clock(), []
    with sealing(database_url, store, clock=clock) as hosted:
        for step_s, events in [(0, 3), (0, 5), (0.9, 2), (0.1, 0), (5, 0), (0, 1_200), (0, 1), (1, 0)]:
            clock.now_s += step_s
            append(database_url, events)
            hosted.round()
            sizes.append(remembered(database_url).size)

    assert [3, 3, 3, 10, 10, 1210, 1210, 1211] == sizes
    assert 1211 == published(store).size


def test_each_checkpoint_is_the_beginning_of_the_next(database_url: str, store: Directory):
    checkpoints = []
    for events in (1, 255, 1, 300):
        append(database_url, events)
        seal(database_url, store)
        checkpoints.append(published(store))
    last = checkpoints[-1]

    for each in checkpoints:
        proof = merkle.consistency_proof(each.size, last.size, Tiles(store, last.size))
        merkle.verify_consistency(
            old=each.size, old_root=each.root, size=last.size, root=last.root, proof=proof
        )
    assert [1, 256, 257, 557] == [each.size for each in checkpoints]


def test_lost_tiles_are_built_again_from_the_log_and_come_to_the_same_root(database_url: str, tmp_path: Path):
    append(database_url, 300)
    before = seal(database_url, Directory(tmp_path / "lost"))
    anew = Directory(tmp_path / "anew")
    append(database_url, 10)
    seal(database_url, anew)

    assert before.root == merkle.root(300, Tiles(anew, 310))
    assert 310 == published(anew).size


@pytest.mark.parametrize("harm", ["missing", "cut", "flipped"])
def test_a_damaged_tile_is_built_again_while_the_sealer_runs(harm: str, database_url: str, store: Directory):
    append(database_url, 300)
    with sealing(database_url, store, clock=Clock()) as hosted:
        hosted.round()
        tile = store.root / "tile/1/000.p/1"
        content = tile.read_bytes()
        spoilt = {"missing": None, "cut": content[:-1], "flipped": bytes([content[0] ^ 1]) + content[1:]}[
            harm
        ]
        tile.unlink() if spoilt is None else tile.write_bytes(spoilt)
        append(database_url, 1_000)

        assert ["again", "busy"] == [hosted.round(), hosted.round()]
    assert Checkpoint(ORIGIN, 1_300, merkle.root_of(leaves(database_url))) == published(store)


def test_a_sealer_that_lost_its_disk_refuses_a_log_that_was_changed(database_url: str, tmp_path: Path):
    append(database_url, 300)
    seal(database_url, Directory(tmp_path / "lost"))
    forge(database_url, position=7)

    with pytest.raises(Refused, match="changed below its seal"):
        seal(database_url, Directory(tmp_path / "anew"))
    assert "changed below its seal" in str(sealed(database_url).refusal)
    assert 300 == sealed(database_url).size


def test_a_refusal_that_took_the_whole_log_is_repeated_without_reading_it(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    append(database_url, 10)
    seal(database_url, Directory(tmp_path / "lost"))
    forge(database_url, position=7)
    clock, read = Clock(), []
    original = reading.copy_segments
    monkeypatch.setattr(reading, "copy_segments", lambda *a, **k: [read.append(1), original(*a, **k)][1])
    with sealing(database_url, Directory(tmp_path / "anew"), clock=clock) as hosted:
        for wait_s in (0, 5, 5, 60):
            clock.now_s += wait_s
            with pytest.raises(Refused):
                hosted.round()

    assert 2 == len(read)


def test_a_new_row_that_is_not_what_its_leaf_says_is_never_sealed(database_url: str, store: Directory):
    append(database_url, 10)
    damage(database_url, "update log.event set payload = '{\"number\": 1000000}' where position = 7")

    with pytest.raises(Refused, match="position 7"):
        seal(database_url, store)
    assert (
        0,
        "position 7: the row is not what its leaf was computed over; run `counterfoil audit verify`",
    ) == (
        sealed(database_url).size,
        sealed(database_url).refusal,
    )


def test_a_hole_is_never_sealed_over(database_url: str, store: Directory):
    append(database_url, 10)
    damage(database_url, "delete from log.event where position = 7")

    with pytest.raises(Refused, match="position 7: the row is missing"):
        seal(database_url, store)


def test_a_refusal_ends_when_what_was_wrong_was_put_right(database_url: str, store: Directory):
    append(database_url, 10)
    damage(database_url, "update log.event set version = version + 100 where position = 7")
    with pytest.raises(Refused):
        seal(database_url, store)
    damage(database_url, "update log.event set version = version - 100 where position = 7")

    assert (10, None) == (seal(database_url, store).size, sealed(database_url).refusal)


def test_a_row_that_reads_otherwise_the_second_time_is_not_signed(
    database_url: str, store: Directory, monkeypatch: pytest.MonkeyPatch
):
    append(database_url, 10)
    original, passes = reading.copy_segments, []

    def flipping(*arguments, **options):
        passes.append(1)
        if len(passes) == 2:
            forge(database_url, position=7)
        return original(*arguments, **options)

    monkeypatch.setattr(reading, "copy_segments", flipping)
    with pytest.raises(Refused, match="different roots in two passes"):
        seal(database_url, store)

    assert (0, 2) == (sealed(database_url).size, len(passes))


def test_a_tile_that_was_written_wrong_is_not_signed_over(
    database_url: str, store: Directory, monkeypatch: pytest.MonkeyPatch
):
    append(database_url, 10)
    original = Directory.write

    def flipping(self, name, content):
        original(self, name, bytes([content[0] ^ 1]) + content[1:] if name.startswith("tile/") else content)

    monkeypatch.setattr(Directory, "write", flipping)
    with pytest.raises(Refused, match="in tiles"):
        seal(database_url, store)

    assert 0 == sealed(database_url).size


def test_a_log_that_lost_its_end_is_refused(database_url: str, store: Directory):
    append(database_url, 10)
    seal(database_url, store)
    cut(database_url, upto=8)

    with pytest.raises(Refused, match="10 events were sealed, and the log ends at 8"):
        seal(database_url, store)


def test_a_log_that_lost_its_end_and_grew_again_is_refused(database_url: str, store: Directory):
    append(database_url, 10)
    seal(database_url, store)
    cut(database_url, upto=8)
    set_back(database_url, upto=0)
    append(database_url, 20)

    with pytest.raises(Refused, match="of another history"):
        seal(database_url, store)
    assert 10 == published(store).size


def test_a_database_that_forgot_the_last_checkpoint_takes_it_from_the_store(
    database_url: str, store: Directory
):
    append(database_url, 10)
    seal(database_url, store)
    set_back(database_url, upto=0)
    append(database_url, 5)
    with sealing(database_url, store) as hosted:
        hosted.round()

    assert (15, 15) == (published(store).size, remembered(database_url).size)


def test_a_checkpoint_in_the_store_that_nobody_signed_is_refused(database_url: str, store: Directory):
    append(database_url, 10)
    seal(database_url, store)
    forged = Checkpoint(ORIGIN, 9, merkle.leaf_hash(b"forged"))
    store.write("checkpoint", forged.signed(STRANGER).encode().encode())

    with pytest.raises(Refused, match="signed by none of this log's keys"):
        seal(database_url, store)


def test_an_older_checkpoint_in_the_store_is_of_the_same_history_or_refused(
    database_url: str, store: Directory
):
    append(database_url, 10)
    seal(database_url, store)
    older = store.read("checkpoint")
    append(database_url, 10)
    seal(database_url, store)
    store.write("checkpoint", older)
    assert 20 == seal(database_url, store).size

    store.write(
        "checkpoint", Checkpoint(ORIGIN, 9, merkle.leaf_hash(b"forged")).signed(KEY).encode().encode()
    )
    with pytest.raises(Refused, match="of another history"):
        seal(database_url, store)


def test_a_row_in_the_database_that_is_not_its_checkpoint_is_refused(database_url: str, store: Directory):
    append(database_url, 10)
    seal(database_url, store)
    damage(database_url, "update seal.tree set root = sha256('forged')")

    with pytest.raises(Refused, match="something else than its checkpoint"):
        seal(database_url, store)


def test_the_tiles_of_one_tree_are_not_written_by_another(database_url: str, store: Directory):
    seal(database_url, store)

    with pytest.raises(Refused, match="a folder of its own"):
        seal(database_url, store, SignerKey("counterfoil.test/another", bytes(32)))


def test_the_key_of_another_installation_seals_nothing(database_url: str, store: Directory):
    with pytest.raises(Refused, match="a copy has a key of its own"):
        seal(database_url, store, SignerKey("counterfoil/0190", bytes(32)))


def test_a_key_hands_over_with_a_checkpoint_that_both_sign(database_url: str, store: Directory):
    append(database_url, 10)
    seal(database_url, store)
    with sealing(database_url, store, NEXT, KEY) as hosted:
        hosted.round()
        overlap = note.parse(store.read("checkpoint") or b"")
    append(database_url, 5)
    seal(database_url, store, NEXT)
    listed = policy.parse(store.read(policy.FILE) or b"")

    assert {KEY.verifier, NEXT.verifier} == set(note.verify(overlap, [KEY.verifier, NEXT.verifier]))
    assert [(str(KEY.verifier), 0, 10), (str(NEXT.verifier), 10, None)] == [
        (each.key, each.first_size, each.last_size) for each in listed.keys
    ]
    assert 15 == published(store, KEY).size == published(store, NEXT).size


def test_a_key_that_nobody_handed_over_to_seals_nothing(database_url: str, store: Directory):
    append(database_url, 10)
    seal(database_url, store)

    for keys in ([NEXT], [NEXT, STRANGER]):
        with pytest.raises(Refused, match="no other key can take over"):
            seal(database_url, store, *keys)
    assert 10 == published(store).size


def test_a_key_that_handed_over_seals_no_more(database_url: str, store: Directory):
    seal(database_url, store)
    seal(database_url, store, NEXT, KEY)

    with pytest.raises(Refused, match="seals no more"):
        seal(database_url, store, KEY, NEXT)


def test_a_sealer_that_was_paused_while_another_sealed_signs_nothing(database_url: str, store: Directory):
    append(database_url, 10)
    with sealing(database_url, store, clock=Clock(), owner="paused") as paused:
        paused.round()
        damage(database_url, "update runtime.lease set owner = null where name = 'sealer'")
        append(database_url, 1_000)
        seal(database_url, store)
        append(database_url, 1_000)
        step = paused.step
        assert step is not None
        with pytest.raises(OpenAgain):
            step.round()

    assert 1_010 == published(store).size == remembered(database_url).size


def test_epochs_are_part_of_what_is_sealed(database_url: str, store: Directory):
    append(database_url, 5)
    damage(
        database_url,
        "insert into log.epoch (epoch, first_position, started_at, reason) values (2, 6, now(), 'test');"
        " update log.head set epoch = 2",
    )
    append(database_url, 5, epoch=2)
    assert 10 == seal(database_url, store).size
    damage(database_url, "update log.epoch set first_position = 4 where epoch = 2")

    with pytest.raises(Refused, match="position 4"):
        seal(database_url, Directory(store.root / "anew"))


def test_only_the_sealer_writes_what_was_sealed(database_url: str, store: Directory):
    seal(database_url, store)
    for role in ("counterfoil_writer", "counterfoil_reader", "counterfoil_relay", "counterfoil_projector"):
        with (
            database.connect(database_url, role=role, name="test") as conn,
            pytest.raises(Exception, match="permission denied"),
        ):
            conn.execute("update seal.tree set refusal = null")
    with database.connect(database_url, role="counterfoil_sealer", name="test") as conn:
        for statement in (
            "delete from seal.tree",
            "delete from seal.key",
            "select 1 from secret.fingerprint",
        ):
            with pytest.raises(Exception, match="permission denied"):
                conn.execute(statement)


def forge(url: str, *, position: int) -> None:
    """Change a payload together with its leaf, as somebody who knows the format would."""
    damage(url, "update log.event set payload = '{\"forged\": true}' where position = %s", position)
    damage(url, RELEAF)


def cut(url: str, *, upto: int) -> None:
    damage(url, f"delete from log.event where position > {upto}; update log.head set position = {upto}")


def set_back(url: str, *, upto: int) -> None:
    """Forget what was sealed, as a backup from before does."""
    assert upto == 0
    damage(url, "delete from seal.key; delete from seal.tree")


def test_the_latest_tree_is_the_one_that_was_sealed_last(database_url: str, store: Directory):
    with database.connect(database_url, role="counterfoil_reader", name="test") as conn:
        assert ledger.latest(conn) is None
    seal(database_url, store)
    other = SignerKey("counterfoil.test/another", bytes(32))
    seal(database_url, Directory(store.root / "another"), other)

    assert other.name == sealed(database_url).origin
