import base64
import secrets

import pytest
from pydantic import SecretStr

from runtime.keyring import master
from runtime.keyring.errors import MasterKeyError
from runtime.keyring.master import KEY_BYTES, MasterKeys
from runtime.settings import Settings


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "master.key"
    master.create(file)
    return file


def in_text(key):
    return base64.urlsafe_b64encode(key).decode().rstrip("=")


def test_a_file_is_its_owners_alone_and_stays_as_it_was_made(path):
    before = path.read_bytes()
    master.create(path)

    assert 0o600 == path.stat().st_mode & 0o777
    assert before == path.read_bytes()


def test_where_no_key_was_made_yet_it_is_said_by_what(path):
    with pytest.raises(
        MasterKeyError, match="the first command API makes it; start one, or copy its file here"
    ):
        master.read(path.with_name("none"))


def test_a_file_that_others_may_read_is_refused(path):
    path.chmod(0o640)

    with pytest.raises(MasterKeyError, match="chmod 600"):
        master.read(path)


@pytest.mark.parametrize("content", ["", "short", in_text(bytes(31)), "ä" * 43])
def test_what_is_no_key_is_refused_and_never_shown(path, content):
    path.write_text(content)

    with pytest.raises(MasterKeyError) as refused:
        master.read(path)

    assert not content or content not in str(refused.value)


def test_a_rotated_key_wraps_and_the_one_before_it_still_unwraps(path):
    keys = MasterKeys(lambda: master.read(path))
    before = keys.wrap(b"data key", name="k1")
    master.rotate(path)
    after = MasterKeys(lambda: master.read(path)).wrap(b"data key", name="k1")

    assert before.master != after.master
    assert b"data key" == keys.unwrap(after, name="k1"), "the file is read again for a key that is not known"
    assert b"data key" == keys.unwrap(before, name="k1")


def test_without_the_key_that_wrapped_nothing_is_unwrapped(path):
    wrapped = MasterKeys(lambda: master.read(path)).wrap(b"data key", name="k1")
    master.rotate(path)
    master.drop_old(path)

    with pytest.raises(MasterKeyError, match=wrapped.master):
        MasterKeys(lambda: master.read(path)).unwrap(wrapped, name="k1")


def test_a_wrapped_key_in_the_place_of_another_is_refused(path):
    keys = MasterKeys(lambda: master.read(path))

    with pytest.raises(MasterKeyError, match="k2"):
        keys.unwrap(keys.wrap(b"data key", name="k1"), name="k2")


def test_the_environment_has_the_keys_instead_of_a_file(tmp_path):
    old, new = secrets.token_bytes(KEY_BYTES), secrets.token_bytes(KEY_BYTES)
    settings = Settings(home=tmp_path, master_key=SecretStr(f"{in_text(new)},{in_text(old)}"))
    wrapped = MasterKeys(lambda: [old]).wrap(b"data key", name="k1")

    assert master.name_of(new) == master.of_settings(settings).first
    assert b"data key" == master.of_settings(settings).unwrap(wrapped, name="k1")
    assert "***" == settings.masked()["COUNTERFOIL_MASTER_KEY"]
