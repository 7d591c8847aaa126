"""`make interop`: what is sealed here is verified by Go's `sumdb/note` and `tlog`, and by transparency-dev's formats.

Not part of `make test`: the first run compiles the libraries of Go, half a minute of processor time. Modules come by
the hashes in `go.sum`, from wherever the `go` of the machine gets modules.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from event_store.proofs import checkpoint, note, proving
from event_store.proofs.note import VerifierKey
from runtime import database
from runtime.settings import Settings
from tests.event_store.proofs.sealing import KEY, ORIGIN, seal, sealing
from tests.event_store.proofs.vectors import ENTRIES, ROOTS
from tests.event_store.proofs.witnesses import Cosigner, cosigned_by, published, published_size
from tests.event_store.transport.carrying import append, wait_until

FOLDER = Path(__file__).parent
GO_S_MAX = 300


@pytest.fixture(scope="module")
def verifier(tmp_path_factory):
    """The program in Go, built."""
    program, cache = tmp_path_factory.mktemp("go") / "verify", Settings.load().cache / "go"
    here = {"GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly", "CGO_ENABLED": "0", "GOWORK": "off"}
    caches = {"GOMODCACHE": str(cache / "modules"), "GOCACHE": str(cache / "build")}
    subprocess.run(
        [Path(sys.executable).parent / "go", "build", "-trimpath", "-o", program, "."],
        cwd=FOLDER,
        env={**os.environ, **here, **caches},
        check=True,
        timeout=GO_S_MAX,
    )
    return program


def verified(verifier, **case):
    ran = subprocess.run(
        [verifier], input=json.dumps(case), capture_output=True, text=True, timeout=GO_S_MAX, check=False
    )
    assert 0 == ran.returncode, ran.stderr
    return json.loads(ran.stdout)


@pytest.fixture
def cosigner(tmp_path):
    cosigner = Cosigner(tmp_path / "w1", KEY)
    with cosigner.serving():
        yield cosigner


@pytest.fixture
def cosigned(log, cosigner):
    """A log whose tree has full and partial tiles on three levels of which all grew, cosigned."""
    url, store = log
    append(url, 1_100)
    seal(url, store)
    with sealing(url, store, witnesses=[cosigner.listed], required=1) as hosted:
        wait_until(lambda: hosted.round() and cosigned_by(store), what="a cosignature")
    return url, store


def case(url, store, cosigner):
    """All that a verifier is given; proofs of both kinds for sizes and places all over the tree."""
    tree = proving.published(store)
    size = tree.checkpoint.size
    sizes = sorted({1, 2, 3, 255, 256, 257, 512, 1_024, size - 1, size})
    with database.connect(url, role="counterfoil_reader", name="test") as conn:
        receipts = [tree.receipt(proving.event_at(conn, position), epoch=1) for position in sizes]
    proofs = [(old, *tree.consistency(old)) for old in sizes]
    return {
        "folder": str(store.root),
        "origin": ORIGIN,
        "log_key": str(KEY.verifier),
        "witness_key": str(cosigner.key),
        "receipts": [receipt.encode() for receipt in receipts],
        "consistency": [
            {"old_size": old, "old_root": root.hex(), "proof": [each.hex() for each in proof]}
            for old, root, proof in proofs
        ],
        "entries": [entry.hex() for entry in ENTRIES],
        "roots": ROOTS,
    }


def test_checkpoint_cosignature_tiles_and_proofs_are_accepted(cosigned, cosigner, verifier):
    url, store = cosigned
    given = case(url, store, cosigner)
    found = verified(verifier, **given)
    size = published_size(store)
    (at_s,) = [note.cosigned_at(each) for each in published(store).signatures if note.cosigned_at(each)]

    assert [] == found["wrong"]
    assert (size, size, 20, at_s) == (found["size"], found["leaves"], found["proofs"], found["cosigned"])


def test_a_checkpoint_that_it_signs_is_accepted_here(cosigned, cosigner, verifier):
    url, store = cosigned
    found = verified(verifier, **case(url, store, cosigner))
    theirs = checkpoint.verified(note.parse(found["note"]), [VerifierKey.parse(found["key"])])

    assert proving.published(store).checkpoint == theirs


def test_what_is_wrong_is_found_by_it_too(cosigned, cosigner, verifier):
    url, store = cosigned
    given = case(url, store, cosigner)
    given["receipts"][0] = given["receipts"][0].replace("index 0", "index 1")
    given["consistency"][3]["old_root"] = "00" * 32
    given["roots"] = [*given["roots"][:-1], "00" * 32]
    tile = store.root / "tile/0/001"
    tile.write_bytes(bytes([tile.read_bytes()[0] ^ 1]) + tile.read_bytes()[1:])
    found = verified(verifier, **given)
    forged = verified(verifier, **{**given, "witness_key": str(Cosigner(store.root / "other", KEY).key)})

    assert {"receipt", "consistency", "vector", "tiles"} == {each.split(":")[0] for each in found["wrong"]}
    assert "checkpoint: 1 signatures, 0 bytes of extensions" in forged["wrong"]
