"""What production does not run with: each setting by itself, and all of them at once."""

import pytest

from runtime import production
from runtime.settings import Settings, SettingsError

GOOD = {
    "profile": "production",
    "identity": "accounts",
    "database_url": "postgresql://shop:dJ3kq9@db.example/shop?sslmode=verify-full",
    "redis_url": "rediss://:w8Qe1m@cache.example:6379/0",
}
ON_THIS_MACHINE = {
    **GOOD,
    "database_url": "postgresql://shop:dJ3kq9@127.0.0.1/shop",
    "redis_url": "redis://localhost:6379/0",
    "kafka_bootstrap": "127.0.0.1:9092",
    "carrier_url": "http://[::1]:9000",
    "mail_host": "localhost",
    "mail_tls": "none",
    "mail_from": "shop@example.org",
    "mail_links": "https://shop.example/account",
}
MAIL = {
    "mail_host": "mail.example",
    "mail_from": "shop@example.org",
    "mail_links": "https://shop.example/account",
}
GOOGLE = {"google_client_id": "shop", "login_url": "https://shop.example/v1/oidc"}
OIDC = {"oidc_client_id": "shop", "oidc_client_secret": "k3Jm", "login_url": "https://shop.example/v1/oidc"}
FACEBOOK = {"facebook_client_id": "shop", "login_url": "https://shop.example/v1/oidc"}
KAFKA = {
    "kafka_bootstrap": "a.example:9093",
    "kafka_tls": True,
    "kafka_user": "shop",
    "kafka_password": "dJ3k",
}

FAULTS = {
    "no identity": ({"identity": None}, "IDENTITY"),
    "debug": ({"log_level": "debug"}, "LOG_LEVEL"),
    "no database": ({"database_url": None}, "DATABASE_URL"),
    "database in plain text": ({"database_url": "postgresql://shop:dJ3kq9@db.example/shop"}, "DATABASE_URL"),
    "database that may fall back": (
        {"database_url": "postgresql://shop:dJ3kq9@db.example/shop?sslmode=prefer"},
        "DATABASE_URL",
    ),
    "one of two databases": (
        {"database_url": "postgresql://shop:dJ3kq9@127.0.0.1,db.example/shop"},
        "DATABASE_URL",
    ),
    "default password of the database": (
        {"database_url": "postgresql://shop:postgres@127.0.0.1/shop"},
        "DATABASE_URL",
    ),
    "user as password": ({"database_url": "postgresql://shop:shop@127.0.0.1/shop"}, "DATABASE_URL"),
    "redis in plain text": ({"redis_url": "redis://:w8Qe1m@cache.example:6379/0"}, "REDIS_URL"),
    "redis without a password": ({"redis_url": "rediss://cache.example:6379/0"}, "REDIS_URL"),
    "default password of redis": ({"redis_url": "redis://:redis@127.0.0.1:6379/0"}, "REDIS_URL"),
    "kafka in plain text": ({**KAFKA, "kafka_tls": False}, "KAFKA_BOOTSTRAP"),
    "kafka without a login": ({**KAFKA, "kafka_user": None, "kafka_password": None}, "KAFKA_USER"),
    "default password of kafka": ({**KAFKA, "kafka_password": "changeme"}, "KAFKA_PASSWORD"),
    "command API in plain text": ({"command_api_host": "192.0.2.1"}, "COMMAND_API_HOST"),
    "query API in plain text": ({"query_api_host": "::"}, "QUERY_API_HOST"),
    "acts in plain text": ({"command_api_url": "http://shop.example"}, "COMMAND_API_URL"),
    "locations in plain text": ({"query_api_url": "http://shop.example"}, "QUERY_API_URL"),
    "carrier in plain text": (
        {"carrier_url": "http://carrier.example", "carrier_token": "k3Jm"},
        "CARRIER_URL",
    ),
    "carrier without a token": ({"carrier_url": "https://carrier.example"}, "CARRIER_TOKEN"),
    "default token of the carrier": (
        {"carrier_url": "https://carrier.example", "carrier_token": "token"},
        "CARRIER_TOKEN",
    ),
    "logins in plain text": ({"login_url": "http://shop.example/v1/oidc"}, "LOGIN_URL"),
    "provider in plain text": ({**OIDC, "oidc_issuer": "http://id.example"}, "OIDC_ISSUER"),
    "default secret of google": ({**GOOGLE, "google_client_secret": "secret"}, "GOOGLE_CLIENT_SECRET"),
    "default secret of a provider": (
        {**OIDC, "oidc_issuer": "https://id.example", "oidc_client_secret": "secret"},
        "OIDC_CLIENT_SECRET",
    ),
    "default secret of facebook": (
        {**FACEBOOK, "facebook_client_secret": "secret"},
        "FACEBOOK_CLIENT_SECRET",
    ),
    "mails in plain text": ({**MAIL, "mail_tls": "none"}, "MAIL_TLS"),
    "links in plain text": ({**MAIL, "mail_links": "http://shop.example"}, "MAIL_LINKS"),
    "default password of the mail server": (
        {**MAIL, "mail_user": "shop", "mail_password": "password"},
        "MAIL_PASSWORD",
    ),
    "witness in plain text": ({"witnesses": "w+1+a http://witness.example"}, "WITNESSES"),
    "pages in plain text": ({"cors_origins": "https://a.example,http://shop.example"}, "CORS_ORIGINS"),
}


def variables(given):
    return [each.variable.removeprefix("COUNTERFOIL_") for each in production.findings(Settings(**given))]


@pytest.mark.parametrize("given", [GOOD, ON_THIS_MACHINE], ids=["over TLS", "on this machine"])
def test_production_runs_with_encrypted_connections_and_those_of_this_machine(given):
    production.require(Settings(**given))


@pytest.mark.parametrize(("fault", "variable"), FAULTS.values(), ids=list(FAULTS))
def test_c1_production_does_not_start_with(fault, variable):
    with pytest.raises(SettingsError) as refused:
        production.require(Settings(**{**GOOD, **fault}))

    assert [variable] == [
        line.partition(":")[0].removeprefix("COUNTERFOIL_") for line in str(refused.value).split("\n")
    ]


def test_an_api_may_be_reached_from_other_machines_over_tls(tmp_path):
    production.require(
        Settings(**GOOD, command_api_host="192.0.2.1", query_api_host="::", tls_certificate=tmp_path / "c")
    )


def test_everything_at_fault_is_named_at_once_and_no_secret_with_it():
    given = {
        "database_url": "postgresql://shop:postgres@db.example/s",
        "redis_url": "redis://cache.example:1/0",
    }
    with pytest.raises(SettingsError) as refused:
        production.require(Settings(profile="production", **given))

    assert ["IDENTITY", "DATABASE_URL", "DATABASE_URL", "REDIS_URL", "REDIS_URL"] == variables(given)
    assert all(line in str(refused.value) for line in ("IDENTITY", "DATABASE_URL", "REDIS_URL"))
    assert "shop:postgres" not in str(refused.value)


def test_development_runs_with_all_of_it():
    production.require(Settings(database_url="postgresql://shop:postgres@db.example/s", log_level="debug"))
