"""How full the disks of Postgres and Kafka are, as far as that is known from here."""

import shutil
from pathlib import Path
from typing import Final

from msgspec import Struct

from counterfoil import addresses
from event_store.transport.kafka_client import KafkaClient
from runtime import database
from runtime.settings import Settings

USED_NOTE: Final = 0.80
"""Share of a disk from which on an operator should plan a larger one."""
USED_BAD: Final = 0.95
DAYS_NOTE: Final = 30.0
"""Days until a disk is full at the growth of the last week: time to get a larger one."""
DAYS_BAD: Final = 3.0

_LOOPBACK: Final = ("127.", "localhost", "::1", "/")

READERS_OF_SETTINGS: Final = "pg_read_all_settings"
"""Postgres' role whose members may read where its data is. Logins of ours have no right but to take their roles."""

_TAKE_ROLE: Final = """
select pg_catalog.set_config('role', %(role)s, false) where pg_catalog.pg_has_role(%(role)s, 'member')
"""
_DATA_DIRECTORY: Final = """
select setting, pg_catalog.pg_backend_pid() from pg_catalog.pg_settings where name = 'data_directory'
"""
"""No row for a login that may not read it."""


class NotShown(Exception):
    """Postgres is on this machine, and its login may not read where."""


class Disk(Struct, frozen=True):
    """The file system that holds a directory, in bytes."""

    directory: str
    total: int
    free: int

    @property
    def used(self) -> float:
        """The share that is taken."""
        return 1 - self.free / self.total if self.total else 1.0


def postgres(database_url: str) -> Disk | None:
    """The disk of the data directory; None when Postgres is not on this machine.

    Raises:
        NotShown: it is, and does not show where.
        psycopg.Error: the database cannot be reached.
    """
    with database.connect(database_url, role=None, name="doctor") as connection:
        if not connection.info.host.startswith(_LOOPBACK):
            return None
        connection.execute(_TAKE_ROLE, {"role": READERS_OF_SETTINGS})
        row = connection.execute(_DATA_DIRECTORY).fetchone()
        if row is None:
            raise NotShown
        try:
            # A server of `counterfoil up` has /proc/self/cwd: that is the server's folder, not ours. It is looked at
            # while the session is open, since /proc forgets its process with it.
            directory = Path(str(row[0]).replace("/proc/self/", f"/proc/{row[1]}/")).resolve(strict=True)
            usage = shutil.disk_usage(directory)
        except OSError:  # a container's address may be local, its directories are not
            return None
    return Disk(str(directory), usage.total, usage.free)


def kafka(client: KafkaClient) -> list[Disk] | None:
    """The disks of all brokers; None when the client library or a broker cannot say.

    Raises:
        TransportUnavailable: no broker answers.
    """
    directories = client.log_directories()
    if directories is None:
        return None
    return [
        Disk(f"{each.path} of broker {each.broker}", each.total_bytes, each.free_bytes)
        for each in directories
        if each.total_bytes is not None and each.free_bytes is not None
    ] or None


def topic_bytes(client: KafkaClient, *, prefix: str) -> dict[str, int] | None:
    """Bytes by topic, with all replicas, of topics whose name begins like this; None when the library cannot ask.

    Raises:
        TransportUnavailable: no broker answers.
    """
    directories = client.log_directories()
    if directories is None:
        return None
    found: dict[str, int] = {}
    for each in directories:
        for topic, size in each.topics.items():
            if topic.startswith(prefix):
                found[topic] = found.get(topic, 0) + size
    return found


def kafka_client(settings: Settings) -> KafkaClient | None:
    """The client of these settings; None when no Kafka is used.

    Raises:
        TransportUnavailable: the file of authorities cannot be read or holds none.
    """
    bootstrap = addresses.resolve(settings).kafka_bootstrap
    if bootstrap is None:
        return None
    from event_store.transport.kafka_transport import client_of

    return client_of(settings.kafka_client, bootstrap, security=addresses.kafka_security(settings))
