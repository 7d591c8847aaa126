import os
from pathlib import Path

import pytest

from runtime.settings import Settings, SettingsError, masked_address


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch):
    for variable in [name for name in os.environ if name.startswith("COUNTERFOIL_")]:
        monkeypatch.delenv(variable)


def test_everything_is_kept_below_the_directory_of_the_first_start(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    settings = Settings.load()
    monkeypatch.chdir("/")

    assert tmp_path / ".counterfoil" == settings.home


def test_downloads_follow_the_users_cache_directory_unless_it_is_set(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/cache/someone")

    assert Path("/var/cache/someone/counterfoil") == Settings.load().cache

    monkeypatch.setenv("COUNTERFOIL_CACHE", "/srv/jars")

    assert Path("/srv/jars") == Settings.load().cache


def test_a_mistyped_variable_is_an_error_that_names_the_nearest_setting(monkeypatch):
    monkeypatch.setenv("COUNTERFOIL_DATABSE_URL", "postgresql://h/db")

    with pytest.raises(SettingsError, match=r"COUNTERFOIL_DATABSE_URL is not .* COUNTERFOIL_DATABASE_URL"):
        Settings.load()


def test_an_impossible_value_names_its_variable_and_never_repeats_the_value(monkeypatch):
    monkeypatch.setenv("COUNTERFOIL_COMMAND_API_PORT", "98765")
    monkeypatch.setenv("COUNTERFOIL_TRANSPORT", "s3cret-pigeon")

    with pytest.raises(SettingsError) as refused:
        Settings.load()

    assert "COUNTERFOIL_COMMAND_API_PORT" in str(refused.value)
    assert "COUNTERFOIL_TRANSPORT" in str(refused.value)
    assert "98765" not in str(refused.value)
    assert "s3cret-pigeon" not in str(refused.value)


def test_an_empty_variable_counts_as_not_set(monkeypatch):
    monkeypatch.setenv("COUNTERFOIL_REDIS_URL", "")

    assert Settings.load().redis_url is None


def test_passwords_are_shown_to_nobody(monkeypatch):
    monkeypatch.setenv("COUNTERFOIL_DATABASE_URL", "postgresql://shop:s3cret@db.local/shop")
    monkeypatch.setenv("COUNTERFOIL_REDIS_URL", "redis://:s3cret@cache.local:6379/0")
    settings = Settings.load()

    assert settings.masked()["COUNTERFOIL_DATABASE_URL"] == "postgresql://shop:***@db.local/shop"
    assert settings.masked()["COUNTERFOIL_REDIS_URL"] == "redis://:***@cache.local:6379/0"
    assert "s3cret" not in repr(settings)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql://u:p@ss/w:rd@h/db", "postgresql://u:***@h/db"),
        (
            "postgresql://h/db?user=u&password=s3cret&sslmode=require",
            "postgresql://h/db?user=u&password=***&sslmode=require",
        ),
        ("host=h user=u password='with space' dbname=db", "host=h user=u password=*** dbname=db"),
        ("127.0.0.1:9092", "127.0.0.1:9092"),
        ("postgresql://h/db", "postgresql://h/db"),
    ],
)
def test_an_address_is_shown_without_its_password(address, shown):
    assert shown == masked_address(address)


def test_every_setting_says_what_it_is_for():
    assert [] == [name for name, field in Settings.model_fields.items() if not field.description]
