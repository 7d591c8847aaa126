"""The file of the key that seals: for its owner alone, never overwritten, never shown."""

import stat
from pathlib import Path

import pytest

from event_store.proofs import key_file
from event_store.proofs.key_file import KeyFileError
from event_store.proofs.note import SignerKey

FIRST, SECOND = (SignerKey("counterfoil.test/0190", bytes([number] * 32)) for number in (1, 2))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_keys_are_read_as_they_were_written_and_by_their_owner_only(tmp_path: Path):
    path = tmp_path / "secrets" / "seal.key"
    key_file.create(path, [FIRST])
    assert (0o600, [FIRST]) == (mode(path), key_file.read(path))

    key_file.replace(path, [SECOND, FIRST])

    assert (0o600, [SECOND, FIRST]) == (mode(path), key_file.read(path))
    assert [path] == list(path.parent.iterdir())


def test_a_key_is_never_overwritten(tmp_path: Path):
    path = tmp_path / "seal.key"
    key_file.create(path, [FIRST])

    with pytest.raises(KeyFileError, match="exists"):
        key_file.create(path, [SECOND])
    assert [FIRST] == key_file.read(path)


@pytest.mark.parametrize("others", [0o640, 0o604, 0o666])
def test_a_file_that_others_may_read_is_refused(others: int, tmp_path: Path):
    path = tmp_path / "seal.key"
    key_file.create(path, [FIRST])
    path.chmod(others)

    with pytest.raises(KeyFileError, match="chmod 600"):
        key_file.read(path)


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"secret words\n", b"\xff\xfe", f"{FIRST.secret()[:-4]}\n".encode()]
)
def test_what_holds_no_key_is_refused_without_showing_it(content: bytes, tmp_path: Path):
    path = tmp_path / "seal.key"
    path.write_bytes(content)
    path.chmod(0o600)

    with pytest.raises(KeyFileError) as refused:
        key_file.read(path)
    assert "secret words" not in str(refused.value)
    assert FIRST.secret()[-20:-4] not in str(refused.value)


def test_keys_of_two_logs_are_refused(tmp_path: Path):
    path = tmp_path / "seal.key"
    key_file.create(path, [FIRST, SignerKey("counterfoil.test/0191", bytes(32))])

    with pytest.raises(KeyFileError, match="several logs"):
        key_file.read(path)


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(KeyFileError, match=r"seal\.key"):
        key_file.read(tmp_path / "seal.key")
