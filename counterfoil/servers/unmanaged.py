"""Servers that somebody else runs: their address came from the environment, we neither start nor stop them."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Self

import psycopg
import redis
from kafka import KafkaAdminClient
from kafka.errors import KafkaError
from redis.backoff import NoBackoff
from redis.retry import Retry

from counterfoil.servers.errors import ServerUnreachable
from counterfoil.servers.server_version import ServerVersion
from event_store.transport import kafka_python_client
from event_store.transport.kafka_security import PLAIN, Security
from event_store.transport.transport import TransportError
from runtime.masking import masked_address, masked_text

TIMEOUT_S: Final = 10
PING_TIMEOUT_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class ExternalServer:
    """A server at a given address; `stop` leaves it alone. For Kafka, `url` is the bootstrap address."""

    name: str
    url: str
    version: str
    origin: str

    def report(self) -> ServerVersion:
        """What was taken."""
        return ServerVersion(
            name=self.name, version=self.version, origin=self.origin, address=masked_address(self.url)
        )

    def stop(self) -> None:
        """Nothing: it is stopped where it was started."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def postgres_at(
    url: str, *, variable: str = "COUNTERFOIL_DATABASE_URL", timeout_s: int = TIMEOUT_S
) -> ExternalServer:
    """The Postgres at an address.

    Raises:
        ServerUnreachable: nobody answers there or the login is refused.
    """
    try:
        with psycopg.connect(url, connect_timeout=timeout_s) as connection:
            version = connection.info.parameter_status("server_version") or "of unknown version"
    except psycopg.Error as error:
        raise _unreachable("postgres", variable, url, error) from error
    return ExternalServer(name="postgres", url=url, version=version.split()[0], origin=variable)


def redis_at(
    url: str, *, variable: str = "COUNTERFOIL_REDIS_URL", timeout_s: int = TIMEOUT_S
) -> ExternalServer:
    """The Valkey or Redis at an address.

    Raises:
        ServerUnreachable: nobody answers there or the login is refused.
    """
    with _redis_client(url, variable, socket_timeout=timeout_s) as client:
        facts = client.info("server")
    assert isinstance(facts, dict)
    name = str(facts.get("server_name", "redis"))
    version = str(facts.get(f"{name}_version", facts.get("redis_version")))
    return ExternalServer(name=name, url=url, version=version, origin=variable)


def ping_redis(url: str) -> None:
    """Whether the Valkey or Redis at an address answers; by PING, which a restricted user may, too.

    Raises:
        ServerUnreachable: nobody answers there in time or the login is refused.
    """
    timeouts = {"socket_timeout": PING_TIMEOUT_S, "socket_connect_timeout": PING_TIMEOUT_S}
    with _redis_client(url, "COUNTERFOIL_REDIS_URL", **timeouts) as client:
        client.ping()


def kafka_at(
    bootstrap: str,
    *,
    security: Security = PLAIN,
    variable: str = "COUNTERFOIL_KAFKA_BOOTSTRAP",
    timeout_s: int = TIMEOUT_S,
) -> ExternalServer:
    """The Kafka at a bootstrap address. Kafka does not tell its release, only what it speaks.

    Raises:
        ServerUnreachable: nobody answers there, its certificate is not trusted, or the login is refused.
    """
    try:
        client = kafka_python_client.connect(
            KafkaAdminClient,
            bootstrap_servers=bootstrap.split(","),
            timeout_ms=timeout_s * 1000,
            **kafka_python_client.security_settings(security),
        )
        try:
            (broker, *_) = client.describe_cluster()["brokers"]
            spoken = client.get_broker_version_data(broker["broker_id"]).broker_version
        finally:
            client.close()
    except (KafkaError, TransportError, ValueError) as error:
        raise _unreachable("kafka", variable, bootstrap, error) from error
    release = ".".join(str(part) for part in spoken)
    return ExternalServer(name="kafka", url=bootstrap, version=f"{release} or newer", origin=variable)


@contextlib.contextmanager
def _redis_client(url: str, variable: str, **timeouts: float) -> Iterator[redis.Redis]:
    """A client that asks once.

    Raises:
        ServerUnreachable: nobody answers there or the login is refused.
    """
    try:
        with redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0), **timeouts) as client:
            yield client
    except (redis.RedisError, OSError) as error:
        raise _unreachable("redis", variable, url, error) from error


def _unreachable(name: str, variable: str, address: str, error: Exception) -> ServerUnreachable:
    reason = masked_text(str(error)).strip() or type(error).__name__
    return ServerUnreachable(name, variable=variable, address=masked_address(address), reason=reason)
