"""The servers that settings ask for: an address if one is set, else one of our own in a directory."""

from collections.abc import Mapping
from pathlib import Path

from counterfoil import addresses
from counterfoil.servers import unmanaged
from counterfoil.servers.unmanaged import ExternalServer
from devservers import kafka, kafka_jars, postgres, redis
from devservers.kafka import KafkaServer
from devservers.postgres import PostgresServer
from devservers.redis import RedisServer
from runtime.settings import Settings


def postgres_for(
    settings: Settings, *, directory: Path, server_settings: Mapping[str, str] | None = None
) -> PostgresServer | ExternalServer:
    """The Postgres to use; `server_settings` are for one of our own.

    Raises:
        ServerError: it cannot be had.
    """
    if settings.database_url is not None:
        return unmanaged.postgres_at(settings.database_url.get_secret_value())
    return postgres.start_postgres(directory, programs_folder=settings.postgres_bin, settings=server_settings)


def redis_for(settings: Settings, *, directory: Path) -> RedisServer | ExternalServer:
    """The Valkey or Redis to use.

    Raises:
        ServerError: it cannot be had.
    """
    if settings.redis_url is not None:
        return unmanaged.redis_at(settings.redis_url.get_secret_value())
    return redis.start_redis(directory, program=settings.redis_server)


def kafka_for(
    settings: Settings, *, directory: Path, progress: kafka_jars.Progress | None = None
) -> KafkaServer | ExternalServer:
    """The Kafka to use; `progress` is called for jars that had to be fetched.

    Raises:
        ServerError: it cannot be had.
    """
    if settings.kafka_bootstrap is not None:
        return unmanaged.kafka_at(settings.kafka_bootstrap, security=addresses.kafka_security(settings))
    return kafka.start_kafka(
        directory,
        cache=settings.cache,
        java=settings.java,
        repository=settings.maven_repository,
        progress=progress,
    )
