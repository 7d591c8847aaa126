"""Keys that hand over to each other, and their file."""

import msgspec
import pytest

from event_store.proofs import merkle, policy
from event_store.proofs.checkpoint import Checkpoint
from event_store.proofs.note import MalformedNote, SignerKey, UnverifiedNote
from event_store.proofs.policy import KeyRange, Policy

ORIGIN = "counterfoil.test/0190"
FIRST, SECOND, THIRD, STRANGER = (SignerKey(ORIGIN, bytes([number] * 32)) for number in range(4))


def at(size: int) -> Checkpoint:
    return Checkpoint(ORIGIN, size, merkle.leaf_hash(b"%d" % size))


def overlap(size: int, *keys: SignerKey) -> str:
    return at(size).signed(*keys).encode()


KEYS = (
    KeyRange(str(FIRST.verifier), 0, 10),
    KeyRange(str(SECOND.verifier), 10, 20, overlap(10, SECOND, FIRST)),
    KeyRange(str(THIRD.verifier), 20, None, overlap(20, THIRD, SECOND)),
)
POLICY = Policy(ORIGIN, KEYS)


@pytest.mark.parametrize("known", [FIRST, SECOND, THIRD])
def test_whoever_trusts_one_key_reaches_the_others(known: SignerKey):
    assert list(KEYS) == policy.trusted(POLICY, [known.verifier])


def test_a_key_that_nobody_vouches_for_is_not_trusted():
    with pytest.raises(UnverifiedNote):
        policy.trusted(POLICY, [STRANGER.verifier])


@pytest.mark.parametrize(
    "handover",
    [
        None,
        overlap(20, THIRD),
        overlap(20, SECOND),
        overlap(21, THIRD, SECOND),
        overlap(20, THIRD, STRANGER),
        "none",
    ],
)
def test_without_a_checkpoint_that_both_signed_trust_ends(handover: str | None):
    keys = (*KEYS[:2], msgspec.structs.replace(KEYS[2], handover=handover))

    assert list(KEYS[:2]) == policy.trusted(Policy(ORIGIN, keys), [FIRST.verifier])
    assert [keys[2]] == policy.trusted(Policy(ORIGIN, keys), [THIRD.verifier])


@pytest.mark.parametrize(
    ("size", "key"), [(0, FIRST), (10, FIRST), (10, SECOND), (11, SECOND), (20, THIRD), (99, THIRD)]
)
def test_a_key_signs_the_sizes_that_it_covers(size: int, key: SignerKey):
    assert at(size) == policy.verified(at(size).signed(key), KEYS)


@pytest.mark.parametrize(
    ("size", "key"), [(11, FIRST), (9, SECOND), (21, SECOND), (19, THIRD), (5, STRANGER)]
)
def test_a_key_signs_no_other_sizes(size: int, key: SignerKey):
    with pytest.raises(UnverifiedNote):
        policy.verified(at(size).signed(key), KEYS)


def test_the_file_is_read_as_it_is_written():
    assert POLICY == policy.parse(POLICY.encode())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        POLICY.encode().replace(b"keys.v1", b"keys.v2"),
        POLICY.encode().replace(b'"origin": "counterfoil.test', b'"origin": "another.test'),
        Policy(ORIGIN, (KeyRange("no key", 0),)).encode(),
    ],
)
def test_what_is_no_list_of_keys_is_refused(content: bytes):
    with pytest.raises(MalformedNote):
        policy.parse(content)
