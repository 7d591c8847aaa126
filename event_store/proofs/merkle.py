"""Merkle trees as in RFC 6962 and RFC 9162, over SHA-256: roots, inclusion and consistency proofs, a tree that grows.

This module imports nothing of ours: a verifier of what we prove may use it alone. A tree of `size` leaves has leaf
indexes from 0; a subtree (level, index) is the complete tree over the leaves `index << level` up to, and without,
`(index + 1) << level`.

Errors:
    ProofInvalid   a proof does not lead to the root it is for
"""

from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from typing import Final, Protocol

HASH_BYTES: Final = 32

EMPTY_ROOT: Final = sha256(b"").digest()
"""The root of a tree without leaves."""

PROOF_HASHES_MAX: Final = 63
"""Hashes in a proof about a tree of fewer than 2**63 leaves."""

_LEAF: Final = b"\x00"
_NODE: Final = b"\x01"


class ProofInvalid(Exception):
    """A proof does not lead to the root it is for, or cannot belong to a tree of that size."""


class Subtrees(Protocol):
    """Where the roots of complete subtrees come from."""

    def subtree(self, level: int, index: int) -> bytes:
        """The root, 32 bytes, over the leaves `index << level` up to, and without, `(index + 1) << level`."""


def leaf_hash(entry: bytes) -> bytes:
    """The hash of a leaf: SHA-256(0x00 ‖ entry)."""
    return sha256(_LEAF + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node: SHA-256(0x01 ‖ left ‖ right)."""
    return sha256(_NODE + left + right).digest()


class Frontier:
    """A tree that only grows and remembers nothing but the roots of its complete subtrees, left to right."""

    __slots__ = ("_peaks", "size")

    def __init__(self, size: int = 0, peaks: Iterable[bytes] = ()) -> None:
        """Go on from a size and the roots of its complete subtrees, the largest first."""
        self.size = size
        self._peaks = list(peaks)
        assert len(self._peaks) == size.bit_count(), "a tree has a complete subtree for each bit of its size"

    @classmethod
    def at(cls, size: int, subtrees: Subtrees) -> "Frontier":
        """Go on from a tree that is kept elsewhere."""
        return cls(size, [subtrees.subtree(*each) for each in _complete(0, size)])

    @property
    def peaks(self) -> tuple[bytes, ...]:
        """The roots of the complete subtrees, the largest first: all that it takes to go on."""
        return tuple(self._peaks)

    def append(self, leaf: bytes) -> None:
        """Add a leaf by its hash."""
        level, size, peaks = 0, self.size, self._peaks
        while size >> level & 1:
            leaf = sha256(_NODE + peaks.pop() + leaf).digest()
            level += 1
        peaks.append(leaf)
        self.size = size + 1

    def root(self) -> bytes:
        """The root of the tree as it is now."""
        return _joined(self._peaks)


class Leaves:
    """A tree whose leaf hashes are all in memory: for a tile, a bundle, a test."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        """Take the hashes of the leaves, in order."""
        self._levels = [list(leaves)]

    def subtree(self, level: int, index: int) -> bytes:
        """The root of a complete subtree; each level is hashed once, when it is first needed."""
        while len(self._levels) <= level:
            below = self._levels[-1]
            self._levels.append([node_hash(below[at], below[at + 1]) for at in range(0, len(below) - 1, 2)])
        return self._levels[level][index]


def root(size: int, subtrees: Subtrees) -> bytes:
    """The root of the first `size` leaves."""
    return _range(0, size, subtrees)


def root_of(leaves: Iterable[bytes]) -> bytes:
    """The root over leaf hashes that are read once, in memory that does not grow with their number."""
    frontier = Frontier()
    for leaf in leaves:
        frontier.append(leaf)
    return frontier.root()


def inclusion_proof(index: int, size: int, subtrees: Subtrees) -> list[bytes]:
    """The hashes that lead from a leaf to the root of the first `size` leaves, the leaf's sibling first.

    Raises:
        ValueError: a tree of this size has no such leaf.
    """
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} leaves has no leaf {index}")
    proof, low, high = [], 0, size
    while high - low > 1:
        split = low + _split(high - low)
        if index < split:
            proof.append(_range(split, high, subtrees))
            high = split
        else:
            proof.append(_range(low, split, subtrees))
            low = split
    return proof[::-1]


def consistency_proof(old: int, size: int, subtrees: Subtrees) -> list[bytes]:
    """The hashes that show that the first `old` leaves are the beginning of the first `size`; none if either is all.

    Raises:
        ValueError: the old tree is larger.
    """
    if not 0 <= old <= size:
        raise ValueError(f"a tree of {size} leaves was never one of {old}")
    if old == 0:
        return []
    proof, low, high = [], 0, size
    while old != high:
        split = low + _split(high - low)
        if old <= split:
            proof.append(_range(split, high, subtrees))
            high = split
        else:
            proof.append(_range(low, split, subtrees))
            low = split
    if low > 0:  # otherwise it is the old root itself, which the verifier has
        proof.append(_range(low, high, subtrees))
    return proof[::-1]


def verify_inclusion(leaf: bytes, *, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Check that a leaf hash stands at an index of a tree (RFC 9162, 2.1.3.2).

    Raises:
        ProofInvalid: it does not, as far as this proof goes.
    """
    if not 0 <= index < size:
        raise ProofInvalid(f"a tree of {size} leaves has no leaf {index}")
    reached = leaf
    for sibling, left in zip(proof, _sides(index, size, len(proof)), strict=True):
        reached = node_hash(sibling, reached) if left else node_hash(reached, sibling)
    if reached != root:
        raise ProofInvalid(f"leaf {index} is not in the tree of {size} leaves with this root")


def verify_consistency(*, old: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]) -> None:
    """Check that a tree is the beginning of a larger one (RFC 9162, 2.1.4.2); every tree begins with the empty one.

    Raises:
        ProofInvalid: it is not, as far as this proof goes.
    """
    if not 0 <= old <= size:
        raise ProofInvalid(f"a tree of {size} leaves was never one of {old}")
    if old in {0, size}:
        if proof:
            raise ProofInvalid("the proof is too long")
        if old_root != (root if old == size else EMPTY_ROOT):
            raise ProofInvalid(f"there are two trees of {old} leaves")
        return
    if not old & (old - 1):  # a complete subtree of the new tree: its root is not repeated
        proof = [old_root, *proof]
    if not proof:
        raise ProofInvalid("the proof is too short")
    low = (old & -old).bit_length() - 1  # the old tree ends with a complete subtree of this level
    before = after = proof[0]
    for each, left in zip(
        proof[1:], _sides((old - 1) >> low, ((size - 1) >> low) + 1, len(proof) - 1), strict=True
    ):
        before = node_hash(each, before) if left else before
        after = node_hash(each, after) if left else node_hash(after, each)
    if before != old_root or after != root:
        raise ProofInvalid(f"the tree of {old} leaves is not the beginning of the one of {size}")


def _sides(index: int, size: int, hashes: int) -> Iterator[bool]:
    """For each hash of a proof whether it stands on the left of what it is joined with, from a leaf up.

    Raises:
        ProofInvalid: the way to the root has another length.
    """
    place, last = index, size - 1
    for _ in range(hashes):
        if last == 0:
            raise ProofInvalid("the proof is too long")
        left = bool(place & 1) or place == last
        while (
            left and not place & 1 and place
        ):  # the last node of a level without a sibling stands for itself above
            place, last = place >> 1, last >> 1
        yield left
        place, last = place >> 1, last >> 1
    if last != 0:
        raise ProofInvalid("the proof is too short")


def _range(low: int, high: int, subtrees: Subtrees) -> bytes:
    return _joined([subtrees.subtree(*each) for each in _complete(low, high)])


def _complete(low: int, high: int) -> Iterator[tuple[int, int]]:
    """The complete subtrees over a range that the tree splits off; `low` is a multiple of the largest of them."""
    for level in reversed(range((high - low).bit_length())):
        if (high - low) >> level & 1:
            yield level, low >> level
            low += 1 << level


def _joined(peaks: Sequence[bytes]) -> bytes:
    if not peaks:
        return EMPTY_ROOT
    *others, joined = peaks
    for peak in reversed(others):
        joined = node_hash(peak, joined)
    return joined


def _split(leaves: int) -> int:
    """The largest power of two below a number of leaves."""
    return 1 << (leaves - 1).bit_length() - 1
