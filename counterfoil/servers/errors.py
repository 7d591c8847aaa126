"""What can go wrong with servers.

ServerError
 ├─ ServerUnreachable   an address was given, nobody answers there
 └─ those of servers that `devservers` starts
"""


class ServerError(Exception):
    """A server that Counterfoil needs cannot be had."""


class ServerUnreachable(ServerError):
    """Nobody answers at an address from the environment."""

    def __init__(self, name: str, *, variable: str, address: str, reason: str) -> None:
        super().__init__(f"{name} does not answer at {address} (from {variable}): {reason}")
        self.name = name
