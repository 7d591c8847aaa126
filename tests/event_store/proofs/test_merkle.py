"""The tree: vectors of the RFCs, and every answer compared with a naive tree written after the RFC's own recursion."""

from collections.abc import Sequence
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from event_store.proofs import merkle
from event_store.proofs.merkle import Frontier, Leaves, ProofInvalid
from tests.event_store.proofs.vectors import CONSISTENCY, ENTRIES, INCLUSION, ROOTS

HASHES = [merkle.leaf_hash(entry) for entry in ENTRIES]

sizes = st.integers(min_value=0, max_value=600)


def leaves(size: int) -> list[bytes]:
    return [merkle.leaf_hash(number.to_bytes(4, "big")) for number in range(size)]


def naive_root(hashes: Sequence[bytes]) -> bytes:
    """MTH of RFC 6962, 2.1."""
    if not hashes:
        return sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    k = 1
    while k * 2 < len(hashes):
        k *= 2
    return sha256(b"\x01" + naive_root(hashes[:k]) + naive_root(hashes[k:])).digest()


def naive_path(m: int, hashes: Sequence[bytes]) -> list[bytes]:
    """PATH of RFC 6962, 2.1.1."""
    if len(hashes) == 1:
        return []
    k = 1
    while k * 2 < len(hashes):
        k *= 2
    if m < k:
        return [*naive_path(m, hashes[:k]), naive_root(hashes[k:])]
    return [*naive_path(m - k, hashes[k:]), naive_root(hashes[:k])]


def naive_subproof(m: int, hashes: Sequence[bytes], *, whole: bool) -> list[bytes]:
    """SUBPROOF of RFC 6962, 2.1.2."""
    if m == len(hashes):
        return [] if whole else [naive_root(hashes)]
    k = 1
    while k * 2 < len(hashes):
        k *= 2
    if m <= k:
        return [*naive_subproof(m, hashes[:k], whole=whole), naive_root(hashes[k:])]
    return [*naive_subproof(m - k, hashes[k:], whole=False), naive_root(hashes[:k])]


@pytest.mark.parametrize("size", range(1, 9))
def test_roots_are_those_of_the_vectors(size: int):
    assert bytes.fromhex(ROOTS[size - 1]) == merkle.root(size, Leaves(HASHES))
    assert bytes.fromhex(ROOTS[size - 1]) == merkle.root_of(HASHES[:size])


def test_an_empty_tree_has_the_hash_of_nothing():
    assert "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" == merkle.root_of([]).hex()


@pytest.mark.parametrize(("index", "size", "proof"), INCLUSION)
def test_inclusion_proofs_are_those_of_the_vectors(index: int, size: int, proof: list[str]):
    assert proof == [each.hex() for each in merkle.inclusion_proof(index, size, Leaves(HASHES))]


@pytest.mark.parametrize(("old", "size", "proof"), CONSISTENCY)
def test_consistency_proofs_are_those_of_the_vectors(old: int, size: int, proof: list[str]):
    assert proof == [each.hex() for each in merkle.consistency_proof(old, size, Leaves(HASHES))]


@given(size=sizes, more=sizes)
@settings(deadline=None)
def test_a_tree_that_grew_has_the_root_of_one_that_did_not(size: int, more: int):
    hashes = leaves(size + more)
    grown = Frontier.at(size, Leaves(hashes))
    for leaf in hashes[size:]:
        grown.append(leaf)

    assert naive_root(hashes) == grown.root()
    assert size + more == grown.size


@given(st.data())
@settings(deadline=None)
def test_an_inclusion_proof_is_that_of_the_rfc_and_proves_only_its_own_leaf(data: st.DataObject):
    hashes = leaves(data.draw(st.integers(1, 300)))
    size = data.draw(st.integers(1, len(hashes)))
    index = data.draw(st.integers(0, size - 1))
    root = naive_root(hashes[:size])
    proof = merkle.inclusion_proof(index, size, Leaves(hashes))
    assert naive_path(index, hashes[:size]) == proof
    merkle.verify_inclusion(hashes[index], index=index, size=size, proof=proof, root=root)

    other = data.draw(st.integers(0, size - 1).filter(lambda one: one != index)) if size > 1 else None
    spoilt = [
        {"leaf": merkle.leaf_hash(b"another")},
        {"root": merkle.leaf_hash(b"another")},
        {"index": other if other is not None else size},
        {"index": size},
        {"proof": [*proof, hashes[0]]},
        {"proof": proof[1:] if proof else [hashes[0]]},
        {"proof": [merkle.leaf_hash(b"another"), *proof[1:]]},
    ]
    for change in spoilt:
        given_ = {"leaf": hashes[index], "index": index, "size": size, "proof": proof, "root": root, **change}
        with pytest.raises(ProofInvalid):
            merkle.verify_inclusion(given_.pop("leaf"), **given_)  # type: ignore[arg-type]


@given(st.data())
@settings(deadline=None)
def test_a_consistency_proof_is_that_of_the_rfc_and_proves_only_its_own_trees(data: st.DataObject):
    hashes = leaves(data.draw(st.integers(1, 300)))
    size = data.draw(st.integers(1, len(hashes)))
    old = data.draw(st.integers(1, size))
    trees = {
        "old": old,
        "old_root": naive_root(hashes[:old]),
        "size": size,
        "root": naive_root(hashes[:size]),
    }
    proof = merkle.consistency_proof(old, size, Leaves(hashes))
    assert naive_subproof(old, hashes[:size], whole=True) == proof
    merkle.verify_consistency(**trees, proof=proof)  # type: ignore[arg-type]

    wrong = merkle.leaf_hash(b"another")
    spoilt = [
        {"old_root": wrong},
        {"root": wrong},
        {"old": size + 1},
        {"proof": [*proof, wrong]},
        {"proof": proof[1:] if proof else [wrong]},
        {"proof": [*proof[:-1], wrong]},
    ]
    for change in spoilt:
        with pytest.raises(ProofInvalid):
            merkle.verify_consistency(**{**trees, "proof": proof, **change})  # type: ignore[arg-type]


def test_every_tree_begins_with_the_empty_one():
    root = naive_root(HASHES)
    assert [] == merkle.consistency_proof(0, 8, Leaves(HASHES))

    merkle.verify_consistency(old=0, old_root=merkle.EMPTY_ROOT, size=8, root=root, proof=[])
    with pytest.raises(ProofInvalid):
        merkle.verify_consistency(old=0, old_root=root, size=8, root=root, proof=[])


@pytest.mark.parametrize(("index", "size"), [(-1, 3), (3, 3), (0, 0)])
def test_a_leaf_that_does_not_exist_has_no_proof(index: int, size: int):
    with pytest.raises(ValueError, match="has no leaf"):
        merkle.inclusion_proof(index, size, Leaves(HASHES))


def test_a_tree_never_was_a_larger_one():
    with pytest.raises(ValueError, match="was never one of"):
        merkle.consistency_proof(4, 3, Leaves(HASHES))
