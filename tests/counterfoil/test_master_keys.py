import asyncio

import pytest
from pydantic import SecretStr

from runtime.keyring import keyring as keyrings
from runtime.keyring import master
from runtime.keyring.keyring import Erasures
from runtime.settings import Settings
from tests.counterfoil import commanding

NAMES = ("Ada", "Bob", "Cleo")


async def nobody(_position):
    return Erasures(1, 0, ())


@pytest.fixture
def with_keys(keys_database_url, tmp_path):
    return Settings(home=tmp_path, keys_database_url=SecretStr(keys_database_url))


async def _with_keyring(settings, use):
    async with keyrings.opened(settings, role="counterfoil_keys", name="test", erasures=nobody) as keyring:
        return await use(keyring)


def sealed(settings):
    async def seal(keyring):
        return [(await keyring.seal(f"customer-{name}", {"name": name}))["name"] for name in NAMES]

    return asyncio.run(_with_keyring(settings, seal))


def shown(settings, values):
    return asyncio.run(_with_keyring(settings, lambda keyring: keyring.open(values)))


def test_a_rotated_master_key_wraps_every_data_key_and_no_value_is_touched(
    with_keys, keys_database_url, tmp_path
):
    values = sealed(with_keys)
    before = with_keys.master_key_path.read_text()

    rotated = commanding.run(tmp_path, "master-key", "rotate")
    assert rotated.exit_code == 0, rotated.stderr
    assert list(NAMES) == shown(with_keys, values), "the key before it still unwraps"
    given = {"COUNTERFOIL_KEYS_DATABASE_URL": keys_database_url}
    rewrapped = commanding.run(tmp_path, "master-key", "rewrap", "--drop-old", **given)

    assert rewrapped.stdout.startswith("3 data keys"), rewrapped.stderr
    assert before not in with_keys.master_key_path.read_text()
    assert list(NAMES) == shown(with_keys, values)
    assert commanding.run(tmp_path, "master-key", "rewrap", **given).stdout.startswith("0 data keys")


def test_a_rewrap_without_the_old_master_key_says_which_is_missing(with_keys, keys_database_url, tmp_path):
    sealed(with_keys)
    old = master.of_settings(with_keys).first
    with_keys.master_key_path.unlink()
    master.create(with_keys.master_key_path)

    refused = commanding.run(
        tmp_path, "master-key", "rewrap", COUNTERFOIL_KEYS_DATABASE_URL=keys_database_url
    )

    assert refused.exit_code == 1
    assert old in refused.stderr


def test_doctor_names_the_setting_that_personal_data_needs(database_url, tmp_path):
    lines = commanding.run(tmp_path, "doctor", database_url=database_url).stdout.splitlines()

    assert any("COUNTERFOIL_KEYS_DATABASE_URL" in line for line in lines)
