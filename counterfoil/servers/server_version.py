"""What was taken: server, version, where it came from and where it answers."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServerVersion:
    """One server in use. `address` holds no password, so that all of it may be shown."""

    name: str
    version: str
    origin: str
    address: str

    def __str__(self) -> str:
        return f"{self.name} {self.version} at {self.address}, from {self.origin}"
