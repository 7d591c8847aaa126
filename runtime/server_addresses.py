"""Addresses of servers as settings have them: one that no library can read is refused without being repeated."""

import re
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, SecretStr

_POSTGRES_FORM: Final = (
    "is no address of Postgres: write postgresql://user:password@host:5432/database, with parameters of libpq behind"
    " a `?` (sslmode=verify-full); in user and password, %25 stands for %, %40 for @, %2F for / and %3A for a colon"
)
_REDIS_FORM: Final = (
    "is no address of Redis or Valkey: write redis://:password@host:6379/0, rediss:// for TLS, or unix:///path;"
    " in the password, %25 stands for %, %40 for @, %2F for / and %3A for a colon"
)
_REDIS_SCHEMES: Final = frozenset(("redis", "rediss", "unix"))
_PORTS: Final = re.compile(r"[0-9]{0,5}(?:,[0-9]{0,5})*", re.ASCII)


def _postgres(address: SecretStr) -> SecretStr:
    """As libpq reads it, with what it leaves to the connection: a part of a password may stand as host or port.

    Raises:
        ValueError: without the address, and without the error of the library, which quotes it.
    """
    # Imported where an address is set: the settings are read by commands that need no server, too.
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    try:
        known = conninfo_to_dict(address.get_secret_value())
    except (ProgrammingError, UnicodeError):
        raise ValueError(_POSTGRES_FORM) from None
    hosts = str(known.get("host") or "").split(",")
    ports = str(known.get("port") or "")
    # An abstract socket begins with an @, and no host has one inside.
    if any("@" in host[1:] for host in hosts) or _PORTS.fullmatch(ports) is None:
        raise ValueError(_POSTGRES_FORM)
    return address


def _redis(address: SecretStr) -> SecretStr:
    """As redis-py reads it.

    Raises:
        ValueError: without the address, and without the error of the library, which quotes it.
    """
    url = address.get_secret_value()
    try:
        parts = urlsplit(url)
        known = parts.scheme in _REDIS_SCHEMES and url.startswith(f"{parts.scheme}://")
        whole = parts.port is None or parts.hostname is not None
        if known and whole and parts.query:
            _require_options(url)
    except (ValueError, TypeError):
        raise ValueError(_REDIS_FORM) from None
    if not (known and whole):
        raise ValueError(_REDIS_FORM)
    return address


def _require_options(url: str) -> None:
    """Have redis-py look at the parameters, which takes no connection.

    Raises:
        ValueError, TypeError: it knows none of this name, or this value cannot be.
    """
    # Imported only here: it would cost workers, which do not need it, 7 MB.
    import redis

    try:
        redis.ConnectionPool.from_url(url).make_connection()
    except redis.RedisError:
        raise ValueError from None


Postgres = Annotated[SecretStr, AfterValidator(_postgres)]
"""An address that libpq can read: a URL, or `keyword=value` pairs."""

Redis = Annotated[SecretStr, AfterValidator(_redis)]
"""A URL that redis-py can read."""
