"""Constructing kafka-python's clients so that a failed attempt leaves nothing behind."""

import socket
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from kafka.errors import KafkaConfigurationError, KafkaError
from kafka.net.compat import KafkaNetClient

from event_store.transport.transport import TransportUnavailable

BOOTSTRAP_TIMEOUT_MS: Final = 3_000
KNOCK_TIMEOUT_S: Final = 2.0
RECONNECT_BACKOFF_MAX_MS: Final = 1_000

Client = TypeVar("Client")


def connect(make: Callable[..., Client], *, bootstrap_servers: Sequence[str], **settings: Any) -> Client:
    """Construct a client of kafka-python and wait until a broker answered.

    When no broker answers, the constructor of kafka-python 3.0.12 raises and leaves its thread and sockets running;
    a relay that waits for its broker would gather them for as long as the outage lasts. So we knock before, and
    close what a failed attempt left.

    Raises:
        TransportUnavailable: nobody listens at `bootstrap_servers` (`host:port`), or no broker answered there.
    """
    _knock(bootstrap_servers)
    networks: list[KafkaNetClient] = []

    def remembered(**configs: Any) -> KafkaNetClient:
        networks.append(KafkaNetClient(**configs))
        return networks[-1]

    try:
        return make(
            **settings,
            bootstrap_servers=list(bootstrap_servers),
            kafka_client=remembered,
            bootstrap_timeout_ms=BOOTSTRAP_TIMEOUT_MS,
            reconnect_backoff_max_ms=RECONNECT_BACKOFF_MAX_MS,
        )
    except KafkaError as error:
        for network in networks:
            network.close()
        if isinstance(error, KafkaConfigurationError):
            raise
        raise TransportUnavailable(
            f"no broker answers at {','.join(bootstrap_servers)}: {error!r}"
        ) from error


def _knock(bootstrap_servers: Sequence[str]) -> None:
    for address in bootstrap_servers:
        host, _, port = address.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK_TIMEOUT_S).close()
        except OSError:
            continue
        return
    raise TransportUnavailable(f"nobody listens at {','.join(bootstrap_servers)}")
