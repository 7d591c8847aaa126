"""A client: a program that calls, with keys and scopes.

Refusals:

Conflict  ClientIdTaken, TooManyKeys
Unknown   ClientUnknown, KeyUnknown
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from domain.aggregate import Aggregate
from domain.event import Event
from domain.identity.events import ClientRegistered, KeyIssued, KeyRevoked
from domain.ids import ClientId, CredentialId
from domain.moment import in_utc
from domain.rejection import Conflict, Unknown

KEYS_MAX: Final = 8
"""Keys of one client that were issued and not revoked."""


class RegisteredClient(Struct, frozen=True, kw_only=True):
    """A program, what it may do, and its keys: credential → when it expires."""

    client_id: ClientId
    name: str
    scopes: tuple[str, ...]
    keys: dict[str, datetime | None] = {}


@dataclass(kw_only=True, eq=False)
class ClientIdTaken(Conflict):
    """A client has this id."""

    title = "The client exists"
    meaning = "A client with this id is registered already."
    remedy = "Issue another key for it, or choose another id."

    client_id: ClientId

    def __str__(self) -> str:
        return f"Client {self.client_id!r} is registered already."


@dataclass(kw_only=True, eq=False)
class ClientUnknown(Unknown):
    """The client does not exist."""

    title = "The client does not exist"
    meaning = "No client has this id."
    remedy = "Check the id: case matters."

    client_id: ClientId

    def __str__(self) -> str:
        return f"There is no client {self.client_id!r}."


@dataclass(kw_only=True, eq=False)
class KeyUnknown(Unknown):
    """The client has no such key."""

    title = "The key does not exist"
    meaning = "The client has no key with this id."
    remedy = "Check the id: it is the part of the key behind `cfk_`."

    client_id: ClientId
    credential_id: CredentialId

    def __str__(self) -> str:
        return f"Client {self.client_id!r} has no key {self.credential_id!r}."


@dataclass(kw_only=True, eq=False)
class TooManyKeys(Conflict):
    """The client has as many keys as one may have."""

    title = "The client has too many keys"
    meaning = f"A client has at most {KEYS_MAX} keys that are not revoked."
    remedy = "Revoke unused keys."

    client_id: ClientId

    def __str__(self) -> str:
        return f"Client {self.client_id!r} has {KEYS_MAX} keys already."


def evolve(client: RegisteredClient | None, event: Event) -> RegisteredClient:
    """Return the client as it is after `event`."""
    if isinstance(event, ClientRegistered):
        return RegisteredClient(client_id=event.client_id, name=event.name, scopes=event.scopes)
    assert client is not None, "a key of a client that was never registered"
    match event:
        case KeyIssued():
            return replace(client, keys={**client.keys, event.credential_id: event.expires_at})
        case KeyRevoked():
            left = {key: until for key, until in client.keys.items() if key != event.credential_id}
            return replace(client, keys=left)
    raise AssertionError(f"{type(event).__name__} is no event of a client")


CLIENT: Final = Aggregate("client", evolve, events=(ClientRegistered, KeyIssued, KeyRevoked))


def register(
    client: RegisteredClient | None, *, client_id: ClientId, name: str, scopes: Sequence[str], now: datetime
) -> Sequence[Event]:
    """Register a program.

    Raises:
        ClientIdTaken: its id is another one's.
    """
    if client is not None:
        raise ClientIdTaken(client_id=client_id)
    ordered = tuple(sorted(set(scopes)))
    return [ClientRegistered(client_id=client_id, name=name, scopes=ordered, registered_at=in_utc(now))]


def issue_key(
    client: RegisteredClient | None,
    *,
    client_id: ClientId,
    credential_id: CredentialId,
    expires_at: datetime | None,
    now: datetime,
) -> Sequence[Event]:
    """Give a program a key; those that it has stay good.

    Raises:
        ClientUnknown, TooManyKeys: there is no such program, or it has enough of them.
    """
    if client is None:
        raise ClientUnknown(client_id=client_id)
    if len(client.keys) >= KEYS_MAX:
        raise TooManyKeys(client_id=client_id)
    return [
        KeyIssued(
            client_id=client_id,
            credential_id=credential_id,
            issued_at=in_utc(now),
            expires_at=None if expires_at is None else in_utc(expires_at),
        )
    ]


def revoke_key(
    client: RegisteredClient | None, *, client_id: ClientId, credential_id: CredentialId, now: datetime
) -> Sequence[Event]:
    """Have a key refused.

    Raises:
        ClientUnknown, KeyUnknown: there is no such program, or it has no such key.
    """
    if client is None:
        raise ClientUnknown(client_id=client_id)
    if credential_id not in client.keys:
        raise KeyUnknown(client_id=client_id, credential_id=credential_id)
    return [KeyRevoked(client_id=client_id, credential_id=credential_id, revoked_at=in_utc(now))]
