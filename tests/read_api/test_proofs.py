"""Proofs over HTTP: each is taken by somebody who has the log's public key and nothing else of ours."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from event_store.proofs import checkpoint, merkle, note, receipt
from event_store.proofs.checkpoint import Checkpoint
from event_store.proofs.policy import KeyRange
from event_store.proofs.tiles import Directory
from tests.commands.processes import running as processes
from tests.commands.processes.running import placed, received
from tests.event_store.proofs.sealing import KEY, ORIGIN, leaves, seal
from tests.event_store.proofs.test_sealer import forge
from tests.read_api.conftest import running

pytestmark = pytest.mark.anyio

TRUSTED = [KeyRange(str(KEY.verifier), 0)]


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("COUNTERFOIL_SEAL_TILES", str(tmp_path / "tiles"))
    return Directory(tmp_path / "tiles")


@pytest.fixture
def sealed(database_url, store):
    append(database_url, [received("85123A", 10), order("1001"), order("1002")])
    seal(database_url, store)
    return database_url


def append(url, appends):
    """In a thread, which has no event loop yet."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(processes.append, url, appends).result()


def order(order_id):
    return placed(order_id, [("85123A", 1)])


async def test_a_receipt_of_an_order_proves_that_it_was_placed(sealed):
    async with running(sealed, None) as client:
        answer = await client.get("/v1/orders/1001/receipt")
    found = receipt.parse(answer.text)

    assert "text/plain; charset=utf-8" == answer.headers["content-type"]
    assert Checkpoint(ORIGIN, 3, merkle.root_of(leaves(sealed))) == found.verified(TRUSTED)
    assert ("order-1001", 1, 2) == (found.event.stream, found.event.version, found.event.position)


async def test_an_event_that_is_not_sealed_yet_has_its_receipt_a_moment_later(sealed, store):
    append(sealed, [order("1003")])
    async with running(sealed, None) as client:
        before = await client.get("/v1/events/4/receipt")
        seal(sealed, store)
        after = await client.get("/v1/events/4/receipt")

    assert (503, "not-sealed-yet", "1") == (
        before.status_code,
        before.json()["code"],
        before.headers["retry-after"],
    )
    assert 4 == receipt.parse(after.text).verified(TRUSTED).size


async def test_the_checkpoint_is_the_beginning_of_every_later_one(sealed, store):
    async with running(sealed, None) as client:
        kept = checkpoint.verified(
            note.parse((await client.get("/v1/log/checkpoint")).content), [KEY.verifier]
        )
        append(sealed, [order("1003"), order("1004")])
        seal(sealed, store)
        shown = (await client.get("/v1/log/consistency", params={"old": kept.size})).json()
    newer = checkpoint.verified(note.parse(shown["checkpoint"]), [KEY.verifier])

    assert (kept.root.hex(), newer.size, newer.root.hex()) == (
        shown["old_root"],
        shown["size"],
        shown["root"],
    )
    merkle.verify_consistency(
        old=kept.size,
        old_root=kept.root,
        size=newer.size,
        root=newer.root,
        proof=[bytes.fromhex(each) for each in shown["proof"]],
    )


@pytest.mark.parametrize(
    "path", ["/v1/orders/1009/receipt", "/v1/orders/1001/receipt?version=2", "/v1/events/9/receipt"]
)
async def test_what_does_not_exist_has_no_receipt(sealed, path):
    async with running(sealed, None) as client:
        answer = await client.get(path)

    assert (404, "not-found") == (answer.status_code, answer.json()["code"])


async def test_a_tree_larger_than_what_is_sealed_is_not_known_yet(sealed):
    async with running(sealed, None) as client:
        answer = await client.get("/v1/log/consistency?old=4")

    assert (503, "not-sealed-yet") == (answer.status_code, answer.json()["code"])


@pytest.mark.parametrize("path", ["/v1/log/checkpoint", "/v1/log/consistency?old=0", "/v1/events/1/receipt"])
async def test_a_log_that_is_not_sealed_has_no_proofs(database_url, store, path):
    append(database_url, [received("85123A", 10)])
    async with running(database_url, None) as client:
        answer = await client.get(path)

    assert (404, "not-sealed") == (answer.status_code, answer.json()["code"])


@pytest.mark.parametrize("harm", ["row", "tile", "checkpoint"])
async def test_a_proof_that_proves_nothing_is_never_given(sealed, store, harm):
    if harm == "row":
        forge(sealed, position=2)
    elif harm == "tile":
        store.write("tile/0/000.p/3", bytes(96))
    else:
        store.write("checkpoint", b"forged")
    async with running(sealed, None) as client:
        answer = await client.get("/v1/events/2/receipt")

    assert (503, "proof-unavailable") == (answer.status_code, answer.json()["code"])
