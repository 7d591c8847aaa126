"""A witness cosigns what goes on from what it cosigned, remembers it before it answers, and refuses all else."""

import contextlib
import http.client
import json
import os
import random
import resource
import signal
import stat
import subprocess
import sys
import threading
import time

import httpx
import pytest

from event_store.proofs import checkpoint, merkle, note, witness
from event_store.proofs.checkpoint import Checkpoint
from event_store.proofs.merkle import Leaves, leaf_hash
from event_store.proofs.note import COSIGNATURE, MalformedNote, Note, SignerKey
from event_store.proofs.submitting import HistoryRefused, WitnessClient, WitnessUnavailable
from event_store.proofs.witness import Refused, Request, StorageInvalid, Witness
from event_store.proofs.witness_server import Server
from tests import forking

ORIGIN = "counterfoil.test/0190"
KEY = SignerKey(ORIGIN, bytes(range(32)))
NEXT_KEY = SignerKey(ORIGIN, bytes(range(3, 35)))
STRANGER = SignerKey("stranger.test", bytes(range(4, 36)))
WITNESS_NAME = "witness.test/w1"

FORKED_AT = 40
LEAVES = Leaves([leaf_hash(b"%d" % number) for number in range(200)])
FORK = Leaves([leaf_hash(b"%d" % (number + 1_000 * (number >= FORKED_AT))) for number in range(200)])

KILLS = 6
"""Times that the server is killed while a log submits."""


def signed(size, *, leaves=LEAVES, key=KEY):
    return Checkpoint(key.name, size, merkle.root(size, leaves)).signed(key)


def request(old, size, *, leaves=LEAVES, key=KEY):
    proof = tuple(merkle.consistency_proof(old, size, leaves))
    return Request(old, proof, signed(size, leaves=leaves, key=key)).encode()


@pytest.fixture
def directory(tmp_path):
    made = tmp_path / "witness"
    witness.create(made, name=WITNESS_NAME)
    witness.trust(made, KEY.verifier)
    return made


@contextlib.contextmanager
def started(directory):
    with witness.opened(directory) as storage:
        yield Witness(storage)


@pytest.fixture
def cosigner(directory):
    with started(directory) as found:
        yield found


@pytest.fixture
def server(cosigner):
    with Server(cosigner, host="127.0.0.1", port=0) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.02], daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def client(server):
    client = WitnessClient(server.url, server.witness.verifier)
    yield client
    client.close()


def refusal(cosigner, body):
    with pytest.raises(Refused) as caught:
        cosigner.add_checkpoint(body)
    return caught.value.status, caught.value.body


def proof_in(leaves):
    return lambda old, size: merkle.consistency_proof(old, size, leaves)


def test_a_cosignature_is_of_the_checkpoint_and_carries_the_time(cosigner):
    cosigned = note.parse(signed(7).encode() + cosigner.add_checkpoint(request(0, 7)))

    assert [KEY.verifier, cosigner.verifier] == note.verify(cosigned, [KEY.verifier, cosigner.verifier])
    assert abs(note.cosigned_at(cosigned.signatures[1]) - time.time()) < 60


@pytest.mark.parametrize(("old", "size"), [(0, 5), (7, 8), (7, 7), (7, 64), (7, 199)])
def test_what_goes_on_is_cosigned(old, size, cosigner):
    cosigner.add_checkpoint(request(0, old))
    assert cosigner.add_checkpoint(request(old, size)).startswith(f"— {WITNESS_NAME} ")


def test_a_fork_a_shorter_log_and_another_root_are_refused(cosigner):
    cosigner.add_checkpoint(request(0, 100))

    forked = request(100, 150, leaves=FORK)
    assert (422, "the tree of 100 leaves is not the beginning of the one of 150\n") == refusal(
        cosigner, forked
    )
    assert (422, "there are two trees of 100 leaves\n") == refusal(cosigner, request(100, 100, leaves=FORK))
    assert (409, "100\n") == refusal(cosigner, request(50, 60))
    shorter = Request(100, (), signed(60)).encode()
    assert (400, "old size 100 is above the checkpoint's, 60\n") == refusal(cosigner, shorter)
    cosigner.add_checkpoint(request(100, 150))


def test_another_branch_is_one_log_as_long_as_nothing_behind_the_fork_was_cosigned(cosigner):
    cosigner.add_checkpoint(request(0, FORKED_AT))
    cosigner.add_checkpoint(request(FORKED_AT, 90, leaves=FORK))
    assert 422 == refusal(cosigner, request(90, 120))[0]


@pytest.mark.parametrize("seed", range(6))
def test_all_that_is_ever_cosigned_is_one_history(seed, directory):
    """Two branches of a log submit at random; the witness is started again between."""
    chance = random.Random(seed)
    cosigned = []
    for _ in range(3):
        with started(directory) as cosigner:
            for _ in range(40):
                leaves = chance.choice([LEAVES, FORK])
                old = chance.choice([cosigned[-1][0] if cosigned else 0, chance.randrange(150)])
                size = min(199, old + chance.randrange(12))
                with contextlib.suppress(Refused):
                    cosigner.add_checkpoint(request(old, size, leaves=leaves))
                    cosigned.append((size, merkle.root(size, leaves)))
    sizes = [size for size, _ in cosigned]
    assert len(cosigned) > 5
    assert sizes == sorted(sizes)
    histories = [
        all(merkle.root(size, leaves) == root for size, root in cosigned) for leaves in (LEAVES, FORK)
    ]
    assert any(histories), f"seed {seed}"


_CHECKPOINT = signed(5).encode().encode()
_HASH = f"{note.to_base64(bytes(32))}\n".encode()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"old 0\n", 400),
        (b"old 00\n\n" + _CHECKPOINT, 400),
        (b"old -1\n\n" + _CHECKPOINT, 400),
        (b"new 0\n\n" + _CHECKPOINT, 400),
        (b"old 0\nnot base64\n\n" + _CHECKPOINT, 400),
        (b"old 0\nAAAA\n\n" + _CHECKPOINT, 400),
        (b"old 0\n\xff\n\n" + _CHECKPOINT, 400),
        (b"old 0\n" + _HASH * 64 + b"\n" + _CHECKPOINT, 400),
        (b"old 0\n\nno note\n", 400),
        (b"old 0\n\n" + Note("no checkpoint\n", (KEY.sign("no checkpoint\n"),)).encode().encode(), 400),
        (b"old 0\n" + _HASH + b"\n" + _CHECKPOINT, 422),
        (request(0, 5, key=STRANGER), 404),
        (request(0, 5, key=NEXT_KEY), 403),
        (b"old 0\n\n" + Note(signed(5).text, (KEY.sign(signed(6).text),)).encode().encode(), 403),
        (b"old 0\n\n" + Checkpoint(ORIGIN, 0, bytes(32)).signed(KEY).encode().encode(), 422),
    ],
)
def test_what_is_malformed_unknown_unsigned_or_unproven_is_refused(body, status, cosigner):
    assert status == refusal(cosigner, body)[0]
    cosigner.add_checkpoint(request(0, 5))


def test_a_second_key_of_a_log_is_known_once_it_is_trusted(directory):
    for _ in range(2):
        witness.trust(directory, NEXT_KEY.verifier)
    with started(directory) as cosigner:
        cosigner.add_checkpoint(request(0, 5))
        cosigner.add_checkpoint(request(5, 9, key=NEXT_KEY))
    assert 2 == len((directory / "logs").read_text().splitlines())


def test_time_does_not_go_back_with_the_clock(directory):
    with witness.opened(directory) as storage:
        lines = [
            Witness(storage, now_s=lambda now=now: now).add_checkpoint(request(old, size))
            for old, size, now in ((0, 5, 2_000.0), (5, 6, 1_000.0))
        ]
    times = [note.cosigned_at(note.parse(signed(5).encode() + line).signatures[-1]) for line in lines]
    assert [2_000, 2_000] == times


def test_a_cosignature_is_on_the_disk_before_it_is_answered(cosigner, directory, monkeypatch):
    synced = []
    fsync = os.fsync

    def noted(descriptor):
        kind = "directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        synced.append((kind, len(list(directory.glob("*.checkpoint")))))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    cosigner.add_checkpoint(request(0, 5))
    assert [("file", 0), ("directory", 1)] == synced


def test_a_full_disk_lets_nothing_out_and_nothing_be_forgotten(cosigner, directory):
    cosigner.add_checkpoint(request(0, 5))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            cosigner.add_checkpoint(request(5, 9))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (409, "5\n") == refusal(cosigner, request(0, 9))
    cosigner.add_checkpoint(request(5, 9))


def test_a_failure_behind_the_replacement_is_read_again_from_the_disk(cosigner, monkeypatch):
    cosigner.add_checkpoint(request(0, 5))
    fsync = os.fsync

    def failing(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError("the disk is gone")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(OSError, match="the disk is gone"):
        cosigner.add_checkpoint(request(5, 9))
    monkeypatch.undo()
    assert (409, "9\n") == refusal(cosigner, request(5, 9, leaves=LEAVES))


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_text(""),
        lambda path: path.write_text(path.read_text().replace("\n5\n", "\n4\n")),
        lambda path: path.write_text(signed(5).encode()),
    ],
    ids=["empty", "changed", "not cosigned"],
)
def test_a_witness_with_a_damaged_memory_does_not_start(damage, directory):
    with started(directory) as cosigner:
        cosigner.add_checkpoint(request(0, 5))
    (path,) = directory.glob("*.checkpoint")
    damage(path)
    with witness.opened(directory) as storage, pytest.raises(StorageInvalid, match="is damaged"):
        Witness(storage)


def test_a_witness_without_its_memory_has_no_key_either(directory, tmp_path):
    with (
        pytest.raises(StorageInvalid, match="counterfoil witness create"),
        witness.opened(tmp_path / "nowhere"),
    ):
        pass
    with pytest.raises(StorageInvalid, match="is not empty"):
        witness.create(directory, name=WITNESS_NAME)
    assert stat.S_IRUSR | stat.S_IWUSR == stat.S_IMODE((directory / "key").stat().st_mode)


def test_a_directory_has_one_process(directory):
    with (
        started(directory),
        pytest.raises(StorageInvalid, match="another process"),
        witness.opened(directory),
    ):
        pass


def test_a_witness_trusts_no_witness(directory):
    with pytest.raises(MalformedNote, match="the key of a witness"):
        witness.trust(directory, SignerKey("w2.test", bytes(32), COSIGNATURE).verifier)


def test_a_log_submits_and_a_monitor_reads(client, server):
    for size in (3, 3, 8):
        cosignature = client.cosign(signed(size), proof_in(LEAVES))

    origin_hash = witness.origin_hash(ORIGIN)
    found = note.parse(httpx.get(f"{server.url}/{origin_hash}/checkpoint", timeout=60).text)
    assert signed(8).with_signatures(cosignature) == found
    of_nobody = f"{server.url}/{witness.origin_hash('nobody')}/checkpoint"
    assert 404 == httpx.get(of_nobody, timeout=60).status_code


def test_a_log_that_forgot_where_the_witness_stands_learns_it(server, client):
    client.cosign(signed(8), proof_in(LEAVES))
    fresh = WitnessClient(server.url, server.witness.verifier)
    fresh.cosign(signed(12), proof_in(LEAVES))
    fresh.close()


def test_a_log_that_was_cut_or_forked_learns_that_it_must_not_go_on(client):
    client.cosign(signed(100), proof_in(LEAVES))
    with pytest.raises(HistoryRefused, match="has cosigned 100 events of this log, which has 60 now"):
        client.cosign(signed(60), proof_in(LEAVES))
    with pytest.raises(HistoryRefused, match="refuses this history: the tree of 100 leaves"):
        client.cosign(signed(150, leaves=FORK), proof_in(FORK))


_FOREIGN = SignerKey("w2.test", bytes(32), COSIGNATURE).cosign(signed(5).text, time_s=1)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (httpx.Response(503, text="no space"), "answers 503 no space"),
        (httpx.Response(200, text="hello\n"), "no cosignature of its own"),
        (httpx.Response(200, text=_FOREIGN.line), "no cosig"),
        (httpx.Response(409, text="7\n"), "a conflict names no size"),
        (
            httpx.Response(409, text="0\n", headers={"Content-Type": "text/x.tlog.size"}),
            "answers with different sizes",
        ),
    ],
)
def test_an_answer_that_makes_no_sense_is_none(answer, message, cosigner):
    transport = httpx.MockTransport(lambda _request: answer)
    client = WitnessClient("http://127.0.0.1", cosigner.verifier, transport=transport)
    with pytest.raises(WitnessUnavailable, match=message):
        client.cosign(signed(5), proof_in(LEAVES))


def test_a_witness_that_is_down_is_unavailable(client, server):
    server.shutdown()
    server.server_close()
    with pytest.raises(WitnessUnavailable, match="does not answer"):
        client.cosign(signed(5), proof_in(LEAVES))


def test_requests_that_are_no_submission_are_answered(server):
    connection = http.client.HTTPConnection(*server.server_address)
    for method, path, body, status in (
        ("POST", "/add-checkpoint", b"x" * 10, 400),
        ("POST", "/elsewhere", b"x", 404),
        ("GET", "/", None, 404),
        ("POST", "/add-checkpoint", b"x" * (witness.REQUEST_BYTES_MAX + 1), 413),
    ):
        connection.request(method, path, body=body)
        answer = connection.getresponse()
        assert status == answer.status
        answer.read()
    connection.close()


@contextlib.contextmanager
def process(directory):
    command = [sys.executable, "-m", "counterfoil", "witness", "serve", str(directory)]
    running = forking.popen(command, stdout=subprocess.PIPE)
    try:
        yield running, json.loads(running.stdout.readline())["url"]
    finally:
        running.kill()
        running.wait()
        running.stdout.close()


def test_whatever_was_answered_is_remembered_by_a_witness_that_was_killed(directory):
    seed = random.SystemRandom().randrange(2**32)
    chance = random.Random(seed)
    key = SignerKey.parse((directory / "key").read_text()).verifier
    answered = 0
    for _ in range(KILLS):
        with process(directory) as (running, url):
            client = WitnessClient(url, key)
            client.cosign(signed(answered), proof_in(LEAVES))  # nothing larger is known, and nothing else
            killing = threading.Timer(chance.uniform(0.0, 0.05), running.send_signal, [signal.SIGKILL])
            killing.start()
            with contextlib.suppress(WitnessUnavailable):
                for size in range(answered + 1, min(answered + 30, 199)):
                    client.cosign(signed(size), proof_in(LEAVES))
                    answered = size
            killing.join()
            client.close()
        with started(directory) as cosigner:
            stored = checkpoint.parse(note.parse(cosigner.newest(witness.origin_hash(ORIGIN))).text)
        assert answered <= stored.size <= answered + 1, f"seed {seed}"
        answered = stored.size
    assert answered > 0


def test_a_witness_imports_nothing_of_a_log_or_a_shop():
    shown = "import sys, event_store.proofs.witness_server; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", shown], capture_output=True, text=True, check=True
    ).stdout.split()
    ours = {
        name
        for name in loaded
        if name.split(".")[0] in {"event_store", "commands", "runtime", "domain", "psycopg"}
    }
    allowed = {"checkpoint", "merkle", "note", "witness", "witness_server"}
    of_proofs = {"event_store", "event_store.proofs", *(f"event_store.proofs.{name}" for name in allowed)}
    assert {*of_proofs, "runtime", "runtime.durable"} == ours
