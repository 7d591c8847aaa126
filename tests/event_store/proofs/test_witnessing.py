"""The sealer and its witnesses: who cosigns, what is published, who is not waited for, and what a refusal stops."""

import shutil
import socket
import time
from pathlib import Path

import psycopg
import pytest
from prometheus_client import CollectorRegistry

from event_store.consumers.errors import OpenAgain
from event_store.log.envelope import RecordedEvent
from event_store.proofs import key_file, ledger, note, policy, proving, submitting, witness, witnessing
from event_store.proofs.checkpoint import Checkpoint
from event_store.proofs.errors import Refused
from event_store.proofs.merkle import leaf_hash
from event_store.proofs.note import COSIGNATURE, SignerKey, UnknownSigner
from event_store.proofs.policy import KeyRange
from event_store.proofs.proving import NotSealed, NotSealedYet
from event_store.proofs.submitting import Submissions
from event_store.proofs.tiles import Directory
from event_store.proofs.witness_list import Witness
from event_store.transport import generations
from runtime import database
from tests.event_store.proofs.sealing import KEY, NEXT, ORIGIN, Clock, damage, seal, sealed, sealing
from tests.event_store.proofs.test_sealer import cut
from tests.event_store.proofs.witnesses import Cosigner, cosigned_by, published, published_size
from tests.event_store.transport.carrying import append, wait_until

PATIENCE_S = 60.0

AWAY = Witness(SignerKey("away.test", bytes(32), COSIGNATURE).verifier, "http://127.0.0.1:1")


@pytest.fixture
def store(tmp_path: Path) -> Directory:
    return Directory(tmp_path / "tiles")


@pytest.fixture
def cosigner(tmp_path: Path) -> Cosigner:
    return Cosigner(tmp_path / "w1", KEY)


@pytest.fixture
def serving(cosigner, monkeypatch):
    """A witness that answers, however busy the machine is."""
    monkeypatch.setattr(witnessing, "ASK_FIRST_S", PATIENCE_S)
    monkeypatch.setattr(submitting, "TIMEOUT_S", PATIENCE_S)
    monkeypatch.setattr(submitting, "EXCHANGE_S", PATIENCE_S)
    with cosigner.serving():
        yield cosigner


def witnessed(url):
    with database.connect(url, role="counterfoil_reader", name="test") as conn:
        return {each.name: each for each in ledger.witnesses(conn, ORIGIN)}


def refusal_seen_by_relay(url):
    with database.connect(url, role="counterfoil_relay", name="test") as conn:
        return generations.frame(conn, generation=1).refusal


def rounds_until(hosted, holds, *, what, clock=None):
    """Rounds of the sealer; a clock that is given goes on with them, so that waits behind failures come to an end."""

    def holding():
        if clock is not None:
            clock.now_s += 1
        hosted.round()
        return holds()

    wait_until(holding, what=what)


def restored(url, store, backup, *, upto):
    """Log, what was sealed, and tiles as they were in a backup."""
    cut(url, upto=upto)
    before = sealed(url)
    kept = Directory(backup)
    content = kept.read("checkpoint")
    signed = note.parse(content)
    size, root = signed.text.split("\n")[1:3]
    damage(
        url,
        "update seal.tree set size = %s, root = decode(%s, 'base64'), checkpoint = %s, published = %s",
        int(size),
        root,
        content.decode(),
        content.decode(),
    )
    damage(url, "update seal.witness set size = null, cosigned_at = null")
    assert before.size > int(size)
    shutil.rmtree(store.root)
    shutil.copytree(backup, store.root)


def test_what_is_sealed_is_cosigned_and_published_with_its_cosignature(database_url, store, serving):
    append(database_url, 300)
    with sealing(database_url, store, witnesses=[serving.listed]) as hosted:
        rounds_until(
            hosted,
            lambda: (300, ["witness.test/w1"]) == (published_size(store), cosigned_by(store)),
            what="a cosignature",
        )
    signed = published(store)
    (row,) = witnessed(database_url).values()

    assert {KEY.verifier, serving.key} == set(note.verify(signed, [KEY.verifier, serving.key]))
    assert signed.encode() == sealed(database_url).published
    assert (300, None, None) == (row.size, row.failure, row.refusal)
    assert 0 <= row.age_s < 60


def test_a_receipt_carries_the_cosignatures(database_url, store, serving):
    append(database_url, 5)
    with sealing(database_url, store, witnesses=[serving.listed], required=1) as hosted:
        rounds_until(hosted, lambda: published_size(store) == 5, what="a cosignature")
    with database.connect(database_url, role="counterfoil_reader", name="test") as conn:
        receipt = proving.published(store).receipt(proving.event_at(conn, 3), epoch=1)

    both, other = [KEY.verifier, serving.key], AWAY.key
    assert both == note.verify(receipt.checkpoint, both)
    assert 5 == receipt.verified([KeyRange(str(key), 0) for key in both]).size
    for missing in ([*both, other], [serving.key]):
        with pytest.raises(UnknownSigner):
            receipt.verified([KeyRange(str(key), 0) for key in missing])


def test_who_trusts_a_witness_takes_nothing_that_it_did_not_cosign(database_url, store, serving):
    append(database_url, 5)
    with sealing(database_url, store, witnesses=[serving.listed], required=1) as hosted:
        rounds_until(hosted, lambda: published_size(store) == 5, what="a cosignature")
    seal(database_url, store, NEXT, KEY)
    listed = policy.parse(store.read(policy.FILE) or b"")
    signed = published(store)
    bare = Checkpoint(ORIGIN, 5, proving.published(store).checkpoint.root).signed(KEY)
    trusted = policy.trusted(listed, [NEXT.verifier, serving.key])

    assert 5 == policy.verified(signed, trusted).size
    with pytest.raises(UnknownSigner):
        policy.verified(bare, trusted)


def test_witnesses_that_are_away_delay_nothing_and_are_named(database_url, store, cosigner, monkeypatch):
    monkeypatch.setattr(witnessing, "ASK_FIRST_S", 0.05)
    monkeypatch.setattr(submitting, "TIMEOUT_S", PATIENCE_S)
    monkeypatch.setattr(submitting, "EXCHANGE_S", PATIENCE_S)
    registry, clock = CollectorRegistry(), Clock()
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes what is sent and never answers
        host, port = silent.getsockname()
        mute = Witness(SignerKey("mute.test", bytes(32), COSIGNATURE).verifier, f"http://{host}:{port}")
        listed, longest_s = [cosigner.listed, mute], 0.0
        with sealing(database_url, store, clock=clock, registry=registry, witnesses=listed) as hosted:
            for _ in range(5):
                append(database_url, 10)
                clock.now_s += 1
                began_s = time.monotonic()
                hosted.round()
                longest_s = max(longest_s, time.monotonic() - began_s)
            rounds_until(hosted, lambda: witnessed(database_url)["witness.test/w1"].failure, what="a failure")
            age = registry.get_sample_value(
                "counterfoil_witness_cosignature_age_seconds", {"witness": "mute.test"}
            )
            size = sealed(database_url).size
    rows = witnessed(database_url)

    assert (50, 50, []) == (size, published_size(store), cosigned_by(store))
    assert longest_s < PATIENCE_S / 2, "it was waited for"
    assert float("inf") == age
    assert "does not answer" in rows["witness.test/w1"].failure
    assert (None, None) == (rows["mute.test"].size, rows["mute.test"].cosigned_at)


def test_a_witness_that_comes_back_cosigns_what_is_newest_then(database_url, store, cosigner):
    clock = Clock()
    append(database_url, 10)
    with sealing(database_url, store, clock=clock, witnesses=[cosigner.listed]) as hosted:
        hosted.round()
        wait_until(
            lambda: hosted.round() and witnessed(database_url)["witness.test/w1"].failure, what="failure"
        )
        append(database_url, 10)
        clock.now_s += 1
        hosted.round()
        with cosigner.serving():
            append(database_url, 1)
            rounds_until(
                hosted, lambda: published_size(store) == 21 and cosigned_by(store), what="it", clock=clock
            )
    (row,) = witnessed(database_url).values()

    assert (21, 21, None) == (published_size(store), row.size, row.failure)


def test_where_cosignatures_are_required_nothing_else_is_published(database_url, store, cosigner):
    clock = Clock()
    append(database_url, 10)
    with sealing(database_url, store, clock=clock, witnesses=[cosigner.listed], required=1) as hosted:
        hosted.round()
        with pytest.raises(NotSealed):
            proving.published(store)
        with cosigner.serving():
            rounds_until(hosted, lambda: published_size(store) == 10, what="a cosignature", clock=clock)
        append(database_url, 10)
        clock.now_s += 20
        hosted.round()
        tree = proving.published(store)
        with database.connect(database_url, role="counterfoil_reader", name="test") as conn:
            event: RecordedEvent = proving.event_at(conn, 20)
            with pytest.raises(NotSealedYet, match="10 events are sealed"):
                tree.receipt(event, epoch=1)
            assert 1 == len(tree.receipt(proving.event_at(conn, 1), epoch=1).checkpoint.signatures) - 1

    assert (20, 10) == (sealed(database_url).size, published_size(store))


def test_what_waits_for_cosignatures_is_remembered_next_to_the_tiles_too(database_url, store):
    append(database_url, 10)
    with sealing(database_url, store, witnesses=[AWAY], required=1) as hosted:
        hosted.round()
    damage(database_url, "delete from seal.witness; delete from seal.key; delete from seal.tree")
    cut(database_url, upto=8)

    with pytest.raises(Refused, match="10 events were sealed, and the log ends at 8"):
        seal(database_url, store)


def test_two_that_are_required_cosign_the_same_checkpoint(database_url, store, serving, tmp_path):
    other = Cosigner(tmp_path / "w2", KEY, name="witness.test/w2")
    both, clock = [serving.listed, other.listed], Clock()
    with sealing(database_url, store, clock=clock, witnesses=both, required=2) as hosted:
        append(database_url, 10)
        hosted.round()
        rounds_until(
            hosted, lambda: witnessed(database_url)["witness.test/w1"].size == 10, what="one cosignature"
        )
        assert published(store) is None
        with other.serving():
            for size in range(100, 1_100, 100):
                append(database_url, 100)
                clock.now_s += 20
                rounds_until(
                    hosted, lambda size=size: published_size(store) == size + 10, what="two cosignatures"
                )

    assert ["witness.test/w1", "witness.test/w2"] == sorted(cosigned_by(store))


def test_a_log_that_does_not_grow_gets_fresh_cosignatures(database_url, store, serving):
    clock = Clock()
    append(database_url, 10)
    seal(database_url, store)
    submissions = Submissions([serving.listed], store, clock=clock)
    submissions.offer(published(store))
    submissions.wait_for_all(PATIENCE_S)
    first = submissions.answers()
    for step_s in (59, 2):
        clock.now_s += step_s
        with submissions._changed:
            submissions._changed.notify_all()  # as when the time is over
    wait_until(lambda: submissions._answers, what="another cosignature")
    submissions.close()
    (again,) = submissions.answers()

    assert [(10, True), (10, True)] == [(each.size, each.signature is not None) for each in (*first, again)]


def test_a_slow_witness_is_waited_for_a_moment_and_keeps_no_other_from_going_on(
    database_url, store, serving, monkeypatch
):
    monkeypatch.setattr(submitting, "TIMEOUT_S", 60.0)  # it answers nothing, nor fails, while the test runs
    monkeypatch.setattr(submitting, "EXCHANGE_S", 60.0)
    clock = Clock()
    append(database_url, 10)
    seal(database_url, store)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host, port = silent.getsockname()
        slow = Witness(AWAY.key, f"http://{host}:{port}")
        submissions = Submissions([serving.listed, slow], store, clock=clock)
        submissions.offer(published(store))
        wait_until(lambda: submissions._answers, what="the first cosignature")
        append(database_url, 10)
        seal(database_url, store)
        submissions.offer(published(store))
        time.sleep(0.05)
        waited = [each.size for each in submissions.answers()]
        clock.now_s += 1.5
        with submissions._changed:
            submissions._changed.notify_all()
        wait_until(lambda: submissions._answers, what="the next cosignature")
        answered = [each.size for each in submissions.answers()]  # the slow one fails once nobody listens
        submissions.close()

    assert [10] == waited
    assert [20] == answered


def test_a_restored_log_is_refused_before_anything_else_is_signed(database_url, store, serving, tmp_path):
    listed = [serving.listed]
    append(database_url, 10)
    with sealing(database_url, store, witnesses=listed) as hosted:
        rounds_until(hosted, lambda: cosigned_by(store), what="a cosignature")
    shutil.copytree(store.root, tmp_path / "backup")
    append(database_url, 10)
    with sealing(database_url, store, witnesses=listed) as hosted:
        rounds_until(hosted, lambda: witnessed(database_url)["witness.test/w1"].size == 20, what="20")
    restored(database_url, store, tmp_path / "backup", upto=10)
    append(database_url, 30)

    with sealing(database_url, store, witnesses=listed) as hosted:
        with pytest.raises(Refused, match="has cosigned 20 events of this log, which has 10 now"):
            hosted.round()
        assert 10 == sealed(database_url).size
    assert "restored from an older backup, or forked" in refusal_seen_by_relay(database_url)
    assert "has cosigned 20" in sealed(database_url).refusal


def test_a_fork_that_was_sealed_while_the_witness_was_away_is_refused_once_it_is_back(
    database_url, store, cosigner, tmp_path
):
    listed, clock = [cosigner.listed], Clock()
    append(database_url, 10)
    seal(database_url, store)
    shutil.copytree(store.root, tmp_path / "backup")
    append(database_url, 10)
    with cosigner.serving(), sealing(database_url, store, witnesses=listed) as hosted:
        rounds_until(hosted, lambda: witnessed(database_url)["witness.test/w1"].size == 20, what="20")
    restored(database_url, store, tmp_path / "backup", upto=10)
    append(database_url, 30, padding="fork")
    with sealing(database_url, store, clock=clock, witnesses=listed) as hosted:
        hosted.round()
        assert 40 == sealed(database_url).size
        with cosigner.serving(), pytest.raises(Refused, match="refuses this history"):
            rounds_until(hosted, lambda: False, what="a refusal", clock=clock)
    with (
        sealing(database_url, store, clock=clock, witnesses=listed) as hosted,
        pytest.raises(Refused, match="refuses this history"),
    ):  # the witness is away again, and what it said still holds
        hosted.round()

    assert refusal_seen_by_relay(database_url)


def test_two_roots_of_one_size_are_a_fork(database_url, store, cosigner, monkeypatch):
    monkeypatch.setattr(witnessing, "ASK_FIRST_S", PATIENCE_S)
    with witness.opened(cosigner.directory) as storage:
        other = Checkpoint(ORIGIN, 10, leaf_hash(b"another")).signed(KEY)
        witness.Witness(storage).add_checkpoint(witness.Request(0, (), other).encode())
    append(database_url, 10)
    seal(database_url, store)

    with (
        cosigner.serving(),
        sealing(database_url, store, witnesses=[cosigner.listed]) as hosted,
        pytest.raises(Refused, match="there are two trees of 10 leaves"),
    ):
        hosted.round()


def test_a_refusal_ends_when_the_witness_cosigns_again_or_is_listed_no_more(database_url, store, serving):
    append(database_url, 10)
    with sealing(database_url, store, witnesses=[serving.listed]) as hosted:
        rounds_until(hosted, lambda: cosigned_by(store), what="a cosignature")
    said = "update seal.witness set refusal = 'it was mistaken'"
    damage(database_url, said)
    with sealing(database_url, store, witnesses=[serving.listed]) as hosted:
        hosted.round()
    assert refusal_seen_by_relay(database_url) is None

    damage(database_url, said)
    assert "it was mistaken" == refusal_seen_by_relay(database_url)
    seal(database_url, store)
    assert refusal_seen_by_relay(database_url) is None
    assert {} == witnessed(database_url)


def test_a_witness_that_is_listed_no_more_refuses_nothing_though_the_log_cannot_be_sealed(
    database_url, store
):
    append(database_url, 10)
    seal(database_url, store)
    damage(
        database_url,
        f"insert into seal.witness (origin, key, refusal) values ('{ORIGIN}', 'w', 'another history')",
    )
    cut(database_url, upto=8)
    with pytest.raises(Refused, match="the log ends at 8"):
        seal(database_url, store)

    assert refusal_seen_by_relay(database_url) is None


def test_what_was_published_is_found_in_either_memory(database_url, store, serving):
    append(database_url, 5)
    how = {"witnesses": [serving.listed], "required": 1}
    with sealing(database_url, store, **how) as hosted:
        rounds_until(hosted, lambda: published_size(store) == 5, what="a cosignature")
    five = store.read("checkpoint") or b""
    append(database_url, 5)
    with sealing(database_url, store, **how) as hosted:
        rounds_until(hosted, lambda: published_size(store) == 10, what="another cosignature")
    ten = sealed(database_url).published
    away = {"witnesses": [Witness(serving.key, AWAY.url)], "required": 1}

    store.write("checkpoint", five)  # killed between the two
    with sealing(database_url, store, **away) as hosted:
        hosted.round()
    assert (10, ["witness.test/w1"]) == (published_size(store), cosigned_by(store))

    damage(database_url, "update seal.tree set published = %s", five.decode())
    with sealing(database_url, store, **away) as hosted:
        hosted.round()
    assert ten == sealed(database_url).published


def test_a_refusal_of_an_older_tree_stops_nothing(database_url, store, tmp_path):
    seal(database_url, store)
    damage(
        database_url,
        f"insert into seal.witness (origin, key, refusal) values ('{ORIGIN}', 'w', 'another history')",
    )
    seal(database_url, Directory(tmp_path / "new"), SignerKey("counterfoil.test/log/2", bytes(32)))

    assert refusal_seen_by_relay(database_url) is None


def test_a_sealer_that_lost_its_lease_notes_no_refusal(database_url, store, cosigner):
    """A witness may know more because of the process that took over."""
    append(database_url, 10)
    seal(database_url, store)
    with sealing(database_url, store, witnesses=[cosigner.listed]) as hosted:
        hosted.round()
        damage(database_url, "update runtime.lease set owner = 'another' where name = 'sealer'")
        with pytest.raises(OpenAgain):
            hosted.step._rows.refused_by(ORIGIN, str(cosigner.key), "has cosigned 20 events")
        assert refusal_seen_by_relay(database_url) is None


def test_a_damaged_tile_is_no_fork(database_url, store, serving):
    append(database_url, 100)
    with sealing(database_url, store, witnesses=[serving.listed]) as hosted:
        rounds_until(hosted, lambda: cosigned_by(store), what="a cosignature")
    append(database_url, 200)
    seal(database_url, store)
    tile = store.root / "tile/0/000"
    whole = tile.read_bytes()
    tile.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    submissions = Submissions([serving.listed], store)
    submissions.offer(published(store))
    submissions.wait_for_all(PATIENCE_S)
    submissions.close()
    (answer,) = submissions.answers()

    assert (None, None) == (answer.signature, answer.refusal)
    assert "the tree of 100 events" in answer.failure


def test_a_key_takes_over_while_the_sealer_runs(database_url, store, tmp_path):
    path, clock = tmp_path / "seal.key", Clock()
    key_file.create(path, [KEY])
    append(database_url, 10)
    with sealing(database_url, store, keys=key_file.RereadKeys(path), clock=clock) as hosted:
        hosted.round()
        path.write_text("half a file")
        append(database_url, 10)
        clock.now_s += 1
        assert "busy" == hosted.round()

        key_file.replace(path, [NEXT, KEY])
        append(database_url, 10)
        assert ["again", "busy"] == [hosted.round(), hosted.round()]
    listed = policy.parse(store.read(policy.FILE) or b"")

    assert [(str(KEY.verifier), 0, 20), (str(NEXT.verifier), 20, None)] == [
        (each.key, each.first_size, each.last_size) for each in listed.keys
    ]
    assert [NEXT.verifier] == note.verify(published(store), [KEY.verifier, NEXT.verifier])


def test_only_the_sealer_writes_what_witnesses_said(database_url, store):
    seal(database_url, store)
    for role in ("counterfoil_writer", "counterfoil_reader", "counterfoil_relay", "counterfoil_projector"):
        with (
            database.connect(database_url, role=role, name="test") as conn,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            conn.execute("update seal.witness set refusal = null")
