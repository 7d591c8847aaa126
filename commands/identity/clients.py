"""Programs and their keys: a key is kept as a digest under a new credential, then the event names the credential."""

import uuid
from collections.abc import Sequence
from datetime import datetime

import structlog
from msgspec import Struct

from commands.calls import Call, uuid7
from commands.decision import DecisionView
from commands.identity.accounts import SWEPT_AFTER
from commands.identity.recording import Recorder
from commands.identity.sessions import Signing
from commands.identity.vault import Vault
from commands.log_reading import LogReader
from commands.recording import Answer
from commands.states import States
from domain.event import Event
from domain.identity import client as clients
from domain.identity.client import CLIENT, RegisteredClient
from domain.identity.events import KeyIssued
from domain.ids import ClientId, CredentialId
from event_store.log import codec, reading
from runtime.identity import keys
from runtime.identity.lifetimes import LIFETIME_S
from runtime.identity.tokens import Claims, sign

log = structlog.get_logger()


class Issued(Struct, frozen=True):
    """A key that was issued; `secret` is None where the request was answered before."""

    answer: Answer
    client_id: str
    credential_id: str
    secret: str | None


class NotGranted(Exception):
    """A program is not given a token; `code` is that of RFC 6749."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Granted(Struct, frozen=True):
    """A token of a program, the scopes in it, and for how many seconds it is good."""

    access_token: str
    scopes: tuple[str, ...]
    expires_in: int


class Clients(Struct, frozen=True):
    """Registers programs, issues and revokes their keys."""

    vault: Vault
    states: States
    reader: LogReader
    recorder: Recorder
    signing: Signing
    issuer: str

    async def register(
        self,
        client_id: str | None,
        *,
        name: str,
        scopes: Sequence[str],
        expires_at: datetime | None,
        call: Call,
    ) -> Issued:
        """Register a program, and issue its first key.

        Raises:
            ProblemError: it is registered already, or the log cannot be reached.
        """
        with self.recorder.caller(call) as caller:
            chosen = ClientId(client_id or caller.new_id())
            credential_id = CredentialId(uuid7(caller.now))

            def decide(client: RegisteredClient | None, _: DecisionView) -> list[Event]:
                registered = clients.register(
                    client, client_id=chosen, name=name, scopes=scopes, now=caller.now
                )
                issued = clients.issue_key(
                    CLIENT.evolve(None, registered[0]),
                    client_id=chosen,
                    credential_id=credential_id,
                    expires_at=expires_at,
                    now=caller.now,
                )
                return [*registered, *issued]

            secret = await self._kept(credential_id, client_id=chosen, scopes=scopes, expires_at=expires_at)
            answer = await caller.execute(CLIENT, chosen, decide, creates=True)
        return await self._issued(answer, credential_id, secret)

    async def issue_key(self, client_id: str, *, expires_at: datetime | None, call: Call) -> Issued:
        """Issue another key; those that the program has stay good.

        Raises:
            ProblemError: there is no such program, it has enough keys, or the log cannot be reached.
        """
        client = await self.client(client_id)
        scopes = () if client is None else client.scopes
        with self.recorder.caller(call) as caller:
            credential_id = CredentialId(uuid7(caller.now))

            def decide(client: RegisteredClient | None, _: DecisionView) -> list[Event]:
                return list(
                    clients.issue_key(
                        client,
                        client_id=ClientId(client_id),
                        credential_id=credential_id,
                        expires_at=expires_at,
                        now=caller.now,
                    )
                )

            secret = await self._kept(
                credential_id, client_id=client_id, scopes=scopes, expires_at=expires_at
            )
            answer = await caller.execute(CLIENT, client_id, decide)
        return await self._issued(answer, credential_id, secret)

    async def revoke_key(self, client_id: str, credential_id: str, *, call: Call) -> Answer:
        """Have a key refused, by both APIs within a second.

        Raises:
            ProblemError: there is no such program or key, or the log cannot be reached.
        """
        await self.vault.revoke_key(credential_id, client_id=client_id)
        with self.recorder.caller(call) as caller:
            return await caller.execute(
                CLIENT,
                client_id,
                lambda client, _: clients.revoke_key(
                    client,
                    client_id=ClientId(client_id),
                    credential_id=CredentialId(credential_id),
                    now=caller.now,
                ),
            )

    async def token(self, client_id: str, secret: str, *, scopes: Sequence[str] | None) -> Granted:
        """An access token for a holder of a program's key: with its scopes, or fewer.

        Raises:
            NotGranted: the key is none of the program's, or it may not have these scopes.
        """
        key = keys.parse(secret.encode())
        kept = None if key is None else await self.vault.key(key.credential_id)
        if key is None or kept is None or kept.client_id != client_id or not key.is_behind(kept.digest):
            raise NotGranted("invalid_client")
        granted = kept.scopes if scopes is None else tuple(sorted(set(scopes)))
        if not set(granted) <= set(kept.scopes):
            raise NotGranted("invalid_scope")
        issued_at = int(kept.now.timestamp())
        until = issued_at + LIFETIME_S
        claims = Claims(
            iss=self.issuer,
            sub=client_id,
            sid=key.credential_id,
            jti=f"{key.credential_id}.{uuid.uuid4().hex}",
            client_id=client_id,
            kind="service",
            roles=("service",),
            scope=" ".join(granted),
            iat=issued_at,
            exp=until if kept.expires_at is None else min(until, int(kept.expires_at.timestamp())),
        )
        return Granted(sign(claims, await self.signing.key()), granted, claims.exp - issued_at)

    async def client(self, client_id: str) -> RegisteredClient | None:
        """A program as the log has it now; None: there is none."""
        stream = CLIENT.stream(client_id)
        state: RegisteredClient | None = (await self.states.load({stream: CLIENT}))[stream].state
        return state

    async def sweep(self) -> Sequence[str]:
        """Accept keys that an event names, and throw those away that none came to name; their credentials."""
        swept: list[str] = []
        for credential_id, client_id in await self.vault.keys_not_named(older_than=SWEPT_AFTER):
            client = await self.client(client_id)
            if client is not None and credential_id in client.keys:
                await self.vault.name_key(credential_id)
            else:
                await self.vault.drop_key(credential_id)
                swept.append(credential_id)
        return swept

    async def _kept(
        self, credential_id: str, *, client_id: str, scopes: Sequence[str], expires_at: datetime | None
    ) -> str:
        text, digest = keys.new(credential_id)
        await self.vault.add_key(
            credential_id, client_id=client_id, digest=digest, scopes=scopes, expires_at=expires_at
        )
        return text

    async def _issued(self, answer: Answer, credential_id: str, secret: str) -> Issued:
        """What was issued now, or what was issued when the request came first: its secret was shown then."""
        if not answer.replayed:
            await self.vault.name_key(credential_id)
            return Issued(answer, answer.identifier, credential_id, secret)
        await self.vault.drop_key(credential_id)
        [event] = await self.reader.read(
            lambda connection: reading.read_stream_async(
                connection, answer.stream, after_version=answer.version - 1, limit=1
            )
        )
        issued = codec.decode(event.type, event.payload)
        assert isinstance(issued, KeyIssued), "the last event of such a request"
        return Issued(answer, answer.identifier, issued.credential_id, None)
