import contextlib

import psycopg
import pytest
from msgspec import structs
from psycopg import errors
from pydantic import SecretStr

from runtime import database
from runtime.keyring import keyring as keyrings
from runtime.keyring.errors import KeysUnreachable, MasterKeyError
from runtime.keyring.keyring import ERASURES_KNOWN_FOR_S, OPEN_FOR_S, Erasures, Keyring, Unopened
from runtime.settings import Settings, SettingsError

pytestmark = pytest.mark.anyio

ADA = "customer-1"


class Log:
    """The list of erasures, as a log would have it; None: the log does not answer."""

    def __init__(self):
        self.erased = []
        self.epoch = 1
        self.answers = True

    async def behind(self, position):
        if not self.answers:
            raise KeysUnreachable("the log does not answer")
        return Erasures(self.epoch, len(self.erased), self.erased[position:])


@pytest.fixture
def log():
    return Log()


@pytest.fixture
def keys(keys_database_url, tmp_path):
    return Settings(keys_database_url=SecretStr(keys_database_url), home=tmp_path)


@contextlib.asynccontextmanager
async def opened(settings, log, *, role="counterfoil_keys"):
    async with keyrings.opened(settings, role=role, name="test", erasures=log.behind) as keyring:
        assert keyring is not None
        yield keyring


async def test_what_was_sealed_opens_in_its_place_alone(keys, log):
    async with opened(keys, log) as keyring:
        sealed = (await keyring.seal(ADA, {"name": "Ada Lovelace"}))["name"]

        assert b"Ada" not in sealed.ciphertext
        assert ["Ada Lovelace"] == await keyring.open([sealed])
        for moved in ({"field": "email"}, {"stream": "customer-2"}):
            assert [Unopened.UNREADABLE] == await keyring.open([structs.replace(sealed, **moved)])


async def test_a_value_is_sealed_in_another_way_each_time_under_one_key(keys, log):
    async with opened(keys, log) as keyring:
        first, second = [(await keyring.seal(ADA, {"name": "Ada"}))["name"] for _ in range(2)]

        assert first.key_id == second.key_id
        assert first.ciphertext != second.ciphertext


async def test_a_ciphertext_that_was_changed_does_not_open(keys, log):
    async with opened(keys, log) as keyring:
        sealed = (await keyring.seal(ADA, {"name": "Ada"}))["name"]
        changed = structs.replace(
            sealed, ciphertext=bytes([sealed.ciphertext[0] ^ 1]) + sealed.ciphertext[1:]
        )

        assert [Unopened.UNREADABLE] == await keyring.open([changed])


async def test_who_only_opens_may_neither_seal_nor_destroy(keys, log):
    async with opened(keys, log) as writer:
        sealed = (await writer.seal(ADA, {"name": "Ada"}))["name"]
    async with opened(keys, log, role="counterfoil_revealer") as reader:
        assert ["Ada"] == await reader.open([sealed])
        for refused in (reader.rows.destroy([sealed.key_id]), reader.seal("customer-2", {"name": "Bob"})):
            with pytest.raises(errors.InsufficientPrivilege):
                await refused


async def test_an_erased_key_opens_nothing_though_it_is_kept_and_open(keys, log):
    async with opened(keys, log, role="counterfoil_keys") as keyring:
        sealed = (await keyring.seal(ADA, {"name": "Ada"}))["name"]
        assert ["Ada"] == await keyring.open([sealed])
        log.erased.append(sealed.key_id)
        await keyring.follow_erasures()

        assert [Unopened.ERASED] == await keyring.open([sealed])


async def test_a_restored_backup_of_the_key_database_opens_nobody_who_was_erased(keys, log):
    async with opened(keys, log) as keyring:
        sealed = (await keyring.seal(ADA, {"name": "Ada"}))["name"]
    log.erased.append(sealed.key_id)  # and the database still has the key, as after a restore

    async with opened(keys, log, role="counterfoil_revealer") as reader:
        assert [Unopened.ERASED] == await reader.open([sealed])
    async with opened(keys, log) as keyring:
        assert {} == await keyring.rows.by_id([sealed.key_id]), (
            "it was destroyed again before anything was opened"
        )


async def test_a_log_that_was_cut_off_has_its_erasures_read_from_the_beginning(keys, log):
    async with opened(keys, log) as keyring:
        one, two = [(await keyring.seal(f"customer-{n}", {"name": "Ada"}))["name"] for n in (1, 2)]
        log.erased.append(one.key_id)
        await keyring.follow_erasures()
        log.erased, log.epoch = [two.key_id], 2
        await keyring.follow_erasures()

        assert [Unopened.ERASED] * 2 == await keyring.open([one, two])


async def test_nothing_is_opened_while_nobody_knows_who_was_erased(keys, log):
    now_s = 0.0
    async with opened(keys, log) as writer:
        sealed = (await writer.seal(ADA, {"name": "Ada"}))["name"]
        keyring = Keyring(writer.rows, writer._masters, log.behind, now_s=lambda: now_s)
        with pytest.raises(KeysUnreachable):
            await keyring.open([sealed])
        await keyring.follow_erasures()
        assert ["Ada"] == await keyring.open([sealed])
        now_s = ERASURES_KNOWN_FOR_S + 1

        with pytest.raises(KeysUnreachable):
            await keyring.open([sealed])


async def test_a_key_that_is_gone_opens_for_a_minute_at_most_and_is_in_no_memory_then(keys, log):
    now_s = 0.0
    async with opened(keys, log) as writer:
        sealed = [(await writer.seal(f"customer-{n}", {"name": "Ada"}))["name"] for n in range(2)]
        keyring = Keyring(writer.rows, writer._masters, log.behind, now_s=lambda: now_s)
        await keyring.follow_erasures()
        assert ["Ada"] == await keyring.open(sealed[:1])
        await writer.rows.destroy([sealed[0].key_id])  # and the list of erasures does not say so
        now_s = OPEN_FOR_S / 2
        assert ["Ada"] == await keyring.open(sealed[1:])
        now_s = OPEN_FOR_S
        await keyring.follow_erasures()
        assert ["Ada", "Ada"] == await keyring.open(sealed)
        now_s = OPEN_FOR_S + 1
        await keyring.follow_erasures()

        assert {sealed[1].key_id} == keyring._open.keys()
        assert [Unopened.UNREADABLE, "Ada"] == await keyring.open(sealed)


async def test_a_key_that_nobody_destroyed_on_purpose_is_not_called_erased(keys, log):
    async with opened(keys, log) as keyring:
        sealed = (await keyring.seal(ADA, {"name": "Ada"}))["name"]
        await keyring.rows.destroy([sealed.key_id])

        assert [Unopened.UNREADABLE] == await keyring.open([sealed])


async def test_two_spellings_of_an_address_have_one_digest_which_survives_a_restart(keys, log):
    async with opened(keys, log) as keyring:
        digest = await keyring.lookup_digest("email", "Ada@Example.org ")
    async with opened(keys, log, role="counterfoil_revealer") as reader:
        assert digest == await reader.lookup_digest("email", "ada@example.org")
        assert digest != await reader.lookup_digest("phone", "ada@example.org")


async def test_another_master_key_is_noticed_at_the_start(keys, log, tmp_path):
    async with opened(keys, log) as keyring:
        await keyring.seal(ADA, {"name": "Ada"})
    keys.master_key_path.unlink()

    with pytest.raises(MasterKeyError, match="missing"):
        async with opened(keys, log):
            pass
    other = keys.model_copy(update={"master_key": SecretStr("A" * 43)})
    with pytest.raises(MasterKeyError, match="is not here"):
        async with opened(other, log):
            pass


async def test_without_a_database_of_keys_there_is_no_keyring(log, tmp_path):
    async with keyrings.opened(
        Settings(home=tmp_path), role="counterfoil_keys", name="test", erasures=log.behind
    ) as keyring:
        assert keyring is None


def test_keys_next_to_the_log_are_refused(monkeypatch):
    for name in ("DATABASE_URL", "KEYS_DATABASE_URL"):
        monkeypatch.setenv(f"COUNTERFOIL_{name}", "postgresql://host/shop")

    with pytest.raises(SettingsError, match="KEYS_DATABASE_URL"):
        Settings.load()


@pytest.mark.parametrize("role", ["counterfoil_reader", "counterfoil_writer", "counterfoil_vault"])
def test_no_role_of_the_log_reads_a_key(keys_database_url, role):
    with (
        database.connect(keys_database_url, role=role, name="test") as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("select wrapped from keys.subject")
