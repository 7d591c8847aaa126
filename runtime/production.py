"""What the production profile refuses: plain text to other machines, secrets that are missing or known to everybody."""

import ipaddress
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from pydantic import SecretStr

from runtime.settings import PREFIX, Settings, SettingsError

KNOWN_TO_EVERYBODY: Final = frozenset(
    (
        *("admin", "changeme", "counterfoil", "default", "letmein", "pass", "password", "postgres", "redis"),
        *("root", "secret", "test", "token", "123456", "12345678"),
    )
)
"""Words that examples and images have as passwords."""

_NO_IDENTITY: Final = (
    "the production profile needs it; `accounts` authenticates callers, `anonymous` means that every caller may do"
    " everything, so a gateway before the APIs has to authenticate them"
)
_ENCRYPTED: Final = frozenset(("require", "verify-ca", "verify-full"))
_URLS: Final = (
    *(
        "command_api_url",
        "query_api_url",
        "carrier_url",
        "payment_url",
        "login_url",
        "oidc_issuer",
        "mail_links",
    ),
    *("witnesses", "cors_origins"),
)
"""Settings whose addresses other machines are reached by, or reach us by."""
_SECRETS: Final = (
    *("kafka_password", "carrier_token", "payment_token", "google_client_secret", "oidc_client_secret"),
    *("facebook_client_secret", "mail_password"),
)


class ProductionFinding(Struct, frozen=True):
    """One setting that production does not run with."""

    variable: str
    message: str


def require(settings: Settings) -> None:
    """Refuse to start, where the profile is production and something is found.

    Raises:
        SettingsError: names every setting at fault.
    """
    if settings.profile != "production":
        return
    found = list(findings(settings))
    if found:
        raise SettingsError("\n".join(f"{each.variable}: {each.message}" for each in found))


def findings(settings: Settings) -> Iterator[ProductionFinding]:
    """Everything that production does not run with, whatever the profile is now."""
    for name, message in _found(settings):
        yield ProductionFinding(PREFIX + name.upper(), message)


def _found(settings: Settings) -> Iterator[tuple[str, str]]:
    if settings.identity is None:
        yield "identity", _NO_IDENTITY
    if settings.log_level == "debug":
        yield "log_level", "`debug` shows what is nobody's to see: set another one"
    yield from _database(settings.database_url)
    yield from _redis(settings.redis_url)
    yield from _kafka(settings)
    yield from _listening(settings)
    yield from _addresses(settings)
    for name in _SECRETS:
        secret: SecretStr | None = getattr(settings, name)
        if secret is not None and _is_known(secret.get_secret_value()):
            yield name, "is a password that everybody tries: choose another one"


def _database(url: SecretStr | None) -> Iterator[tuple[str, str]]:
    if url is None:
        yield "database_url", "is not set: production starts no servers of its own"
        return
    try:
        known = conninfo_to_dict(url.get_secret_value())
    except ProgrammingError:
        yield "database_url", "cannot be read"
        return
    hosts = str(known.get("host") or "/").split(",")
    if any(is_elsewhere(host) for host in hosts) and known.get("sslmode") not in _ENCRYPTED:
        yield "database_url", "is not encrypted: add `sslmode=verify-full`"
    if _is_known(str(known.get("password") or "-"), user=str(known.get("user") or "")):
        yield "database_url", "has a password that everybody tries: choose another one"


def _redis(url: SecretStr | None) -> Iterator[tuple[str, str]]:
    if url is None:
        return
    known = urlsplit(url.get_secret_value())
    if known.scheme == "unix":
        return
    elsewhere = is_elsewhere(known.hostname or "localhost")
    if elsewhere and known.scheme != "rediss":
        yield "redis_url", "is not encrypted: write `rediss://`"
    if elsewhere and not known.password:
        yield "redis_url", "has no password"
    if _is_known(known.password or "-"):
        yield "redis_url", "has a password that everybody tries: choose another one"


def _kafka(settings: Settings) -> Iterator[tuple[str, str]]:
    servers = (settings.kafka_bootstrap or "").split(",")
    if not any(is_elsewhere(server.strip().rpartition(":")[0]) for server in servers if server.strip()):
        return
    if not settings.kafka_tls:
        yield "kafka_bootstrap", f"is not encrypted: set {PREFIX}KAFKA_TLS"
    if settings.kafka_user is None:
        yield "kafka_user", "is not set: everybody who reaches that Kafka may write to it"


def _listening(settings: Settings) -> Iterator[tuple[str, str]]:
    for name in ("command_api_host", "query_api_host"):
        if is_elsewhere(getattr(settings, name)) and settings.tls_certificate is None:
            yield (
                name,
                f"is reached from other machines in plain text: set {PREFIX}TLS_CERTIFICATE, or 127.0.0.1",
            )


def _addresses(settings: Settings) -> Iterator[tuple[str, str]]:
    for name in _URLS:
        urls = [each for each in (getattr(settings, name) or "").replace(",", " ").split() if "://" in each]
        if any(each.startswith("http://") and is_elsewhere(urlsplit(each).hostname or "") for each in urls):
            yield name, "is not encrypted: write `https://`"
    if settings.mail_host is not None and settings.mail_tls == "none" and is_elsewhere(settings.mail_host):
        yield "mail_tls", "mails have links by which passwords are reset: set `starttls` or `implicit`"
    if (
        settings.carrier_url is not None
        and settings.carrier_token is None
        and is_elsewhere(urlsplit(settings.carrier_url).hostname or "")
    ):
        yield "carrier_token", "is not set: everybody who reaches that carrier may buy labels"
    if (
        settings.payment_url is not None
        and settings.payment_token is None
        and is_elsewhere(urlsplit(settings.payment_url).hostname or "")
    ):
        yield "payment_token", "is not set: everybody who reaches that provider may refund payments"


def is_elsewhere(host: str) -> bool:
    """Whether a host is not this machine: neither a folder of sockets nor loopback."""
    if host.startswith(("/", "@")) or host == "localhost":
        return False
    try:
        return not ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return True


def _is_known(secret: str, *, user: str = "") -> bool:
    return secret.lower() in KNOWN_TO_EVERYBODY or (user != "" and secret == user)
