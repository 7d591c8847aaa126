"""Encryption and login at Kafka, apart from its clients: code that only passes them on need not load those."""

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from event_store.transport.transport import TransportUnavailable


@dataclass(frozen=True, slots=True)
class Security:
    """How clients speak to the brokers, and as whom.

    `authorities` is a PEM file of the certificate authorities that are trusted, the machine's own when None; the
    brokers' host names are always checked. A `user` logs in with SASL.
    """

    encrypted: bool = False
    authorities: Path | None = None
    mechanism: str | None = None
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    @property
    def protocol(self) -> str:
        """Kafka's name of the security protocol."""
        wire = "SSL" if self.encrypted else "PLAINTEXT"
        return wire if self.user is None else f"SASL_{wire}"

    def trusted(self) -> ssl.SSLContext:
        """Trusted authorities.

        Raises:
            TransportUnavailable: the file of authorities cannot be read or holds none.
        """
        try:
            return ssl.create_default_context(cafile=self.authorities)
        except OSError as error:  # ssl.SSLError is one
            raise TransportUnavailable(
                f"no certificate authority can be read from {self.authorities}: {error}"
            ) from error


PLAIN: Final = Security()
