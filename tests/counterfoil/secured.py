"""Servers that take connections over TLS, and a Kafka that asks who is there, with certificates of tests."""

import contextlib
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import psycopg
from kafka import KafkaAdminClient
from kafka.admin import ScramMechanism, UserScramCredentialUpsertion

from devservers import child, kafka_jars
from devservers.kafka import KafkaServer
from runtime.settings import Settings
from tests.certificates import Authority
from tests.tls_proxy import tls_proxy

HOST: Final = "localhost"
"""What the servers' certificates say; 127.0.0.1 is another name."""
USER: Final = "counterfoil"
PASSWORD: Final = "for tests, with a ' quote"
MECHANISM: Final = "SCRAM-SHA-512"
HANDSHAKE_S: Final = 120.0


@contextlib.contextmanager
def postgres_over_tls(url: str, authority: Authority) -> Iterator[str]:
    """The address of this Postgres over TLS, as an operator writes it: host name and authority are checked."""
    known = psycopg.conninfo.conninfo_to_dict(url)
    server = str(known["host"]), int(str(known["port"]))
    with tls_proxy(server, certificate=authority.server(HOST), postgres=True) as proxy:
        yield psycopg.conninfo.make_conninfo(
            url, host=HOST, port=proxy.port, sslmode="verify-full", sslrootcert=str(authority.file)
        )


@contextlib.contextmanager
def redis_over_tls(url: str, authority: Authority) -> Iterator[str]:
    """The address of this Redis over TLS."""
    known = urlsplit(url)
    server = str(known.hostname), int(str(known.port))
    with tls_proxy(server, certificate=authority.server(HOST)) as proxy:
        yield (f"rediss://:{known.password}@{HOST}:{proxy.port}{known.path}?ssl_ca_certs={authority.file}")


class SecuredKafka(KafkaServer):
    """A Kafka that listens with TLS on `ssl`, with TLS and SCRAM on `sasl`, and plainly for the test itself."""

    def __init__(self, directory: Path, *, jars: list[Path], authority: Authority, java: Path | None) -> None:
        super().__init__(directory, java=java, jars=jars)
        self._keys = authority.server(HOST)
        self.ssl = f"{HOST}:{child.free_port()}"
        self.sasl = f"{HOST}:{child.free_port()}"

    def start(self) -> None:
        super().start()
        client = KafkaAdminClient(bootstrap_servers=self.bootstrap)
        with contextlib.closing(client):
            wanted = UserScramCredentialUpsertion(USER, ScramMechanism.SCRAM_SHA_512, PASSWORD)
            client.alter_user_scram_credentials([wanted])
        for listener in (self.ssl, self.sasl):
            _shake_hands(int(listener.rpartition(":")[2]))

    def _properties(self) -> dict[str, Any]:
        plain = super()._properties()
        secured = f",SSL://{self.ssl},SASL_SSL://{self.sasl}"
        login = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        return {
            **plain,
            "listeners": plain["listeners"] + secured,
            "advertised.listeners": plain["advertised.listeners"] + secured,
            "listener.security.protocol.map": (
                plain["listener.security.protocol.map"] + ",SSL:SSL,SASL_SSL:SASL_SSL"
            ),
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self._keys),
            "sasl.enabled.mechanisms": MECHANISM,
            f"listener.name.sasl_ssl.{MECHANISM.lower()}.sasl.jaas.config": login,
        }


def _shake_hands(port: int) -> None:
    """The first handshake of a broker takes seconds on a busy machine: clients under test give up before."""
    anyone = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", port), timeout=HANDSHAKE_S) as plain,
        anyone.wrap_socket(plain),
    ):
        pass


@contextlib.contextmanager
def secured_kafka(settings: Settings, directory: Path, authority: Authority) -> Iterator[SecuredKafka]:
    """A broker of its own while the block runs."""
    directory.mkdir(parents=True)
    jars = kafka_jars.jars_in(settings.cache, repository=settings.maven_repository)
    server = SecuredKafka(directory, jars=jars, authority=authority, java=settings.java)
    try:
        server.start()
        yield server
    finally:
        server.kill()
