"""What tests of identity do with a shop."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

import httpx
import psycopg
from fastapi import FastAPI

from commands.identity.links import token_of
from commands.identity.sessions import Sessions
from counterfoil.testing.http import new_key
from domain.event import Event
from domain.mail.events import MailRequested
from event_store.log import codec, reading
from event_store.log.envelope import Metadata, RecordedEvent, decode_metadata
from runtime import database
from runtime.http.access import PERMISSIONS
from runtime.identity.trust import Trust
from runtime.settings import Settings
from tests import sizes

EMAIL: Final = "owner@example.org"
PASSWORD: Final = "correct horse battery"
PRODUCT: Final = {"sku": "1", "title": "One", "stocked": True, "unit_price": "2.55", "currency": "GBP"}
REFUSED_WITHIN_S: Final = 1.0 if sizes.FULL else 20.0
"""One second is promised; two more for a machine that runs other tests meanwhile."""
ASKED_AGAIN_AFTER_S: Final = 0.02 if sizes.FULL else 0.1
"""How long both APIs are left alone that are asked until they refuse a token."""
AVAILABLE_WITHIN_S: Final = 30.0
"""Until then callers come again, as they are asked to."""
ORDER: Final = {
    "order_id": "1001",
    "country": "Italy",
    "currency": "GBP",
    "lines": [{"sku": "1", "quantity": 1}],
}


class Shop:
    """Both APIs of one installation."""

    def __init__(
        self,
        command_app: FastAPI,
        query_app: FastAPI,
        commands: httpx.AsyncClient,
        queries: httpx.AsyncClient,
        settings: Settings,
    ) -> None:
        self.command_app = command_app
        self.query_app = query_app
        self.commands = commands
        self.queries = queries
        self.settings = settings
        assert settings.database_url is not None
        self.url = settings.database_url.get_secret_value()

    @property
    def sessions(self) -> Sessions:
        """What answers logins and refreshes."""
        found: Sessions = self.command_app.state.identity.sessions
        return found

    @property
    def trust(self) -> Trust:
        """What the command API knows of keys and revocations."""
        found: Trust = self.command_app.state.identity.trust
        return found

    async def log_in(
        self, *, email: str = EMAIL, password: str = PASSWORD, client_id: str = "shop"
    ) -> httpx.Response:
        """Ask for a session."""
        body = {"email": email, "password": password, "client_id": client_id}
        return await self.commands.post("/v1/sessions", json=body)

    async def session(self, **given: str) -> dict[str, Any]:
        """The tokens of a new session."""
        answer = await self.log_in(**given)
        assert answer.status_code == 201, answer.text
        tokens: dict[str, Any] = answer.json()
        return tokens

    async def token_as(self, role: str, *, name: str = "") -> str:
        """A token of somebody who has just this role; `name` tells several apart."""
        if role == "guest":
            return str((await self.commands.post("/v1/guest-tokens")).json()["access_token"])
        owner = str((await self.session())["access_token"])
        if role == "owner" and not name:
            return owner
        account_id = f"{role}{name}"
        if role == "service":
            body = {"client_id": account_id, "name": "Till", "scopes": sorted(PERMISSIONS["service"])}
            return str((await self.post("/v1/clients", body, owner)).json()["secret"])
        known = {"email": f"{account_id}@example.org", "password": PASSWORD}
        made = await self.post("/v1/accounts", {"account_id": account_id, "roles": [role], **known}, owner)
        assert made.status_code == 201, made.text
        return str((await self.session(**known))["access_token"])

    async def refresh(self, refresh_token: str, *, client_id: str = "shop") -> httpx.Response:
        """Ask for the next tokens."""
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token, "client_id": client_id}
        return await self.commands.post("/oauth/token", data=form)

    async def post(
        self, path: str, body: object, token: str | None = None, *, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """Send a command, with a token if there is one; again while a stalled machine knows of no revocations."""
        sent = {
            "content-type": "application/json",
            "idempotency-key": new_key(),
            **bearer(token),
            **(headers or {}),
        }
        began = time.monotonic()
        while True:
            answer = await self.commands.post(path, content=json.dumps(body).encode(), headers=sent)
            if answer.status_code != 503 or time.monotonic() - began > AVAILABLE_WITHIN_S:
                return answer
            await asyncio.sleep(0.1)

    async def get(self, path: str, token: str | None = None) -> httpx.Response:
        """Ask the query API, with a token if there is one."""
        return await self.queries.get(path, headers=bearer(token))

    async def refused_everywhere(self, token: str) -> float:
        """Seconds until both APIs refuse a token; fails after a minute."""
        began = time.monotonic()
        while True:
            answers = (await self.post("/v1/products", {}, token), await self.get("/v1/events", token))
            if {401} == {answer.status_code for answer in answers}:
                return time.monotonic() - began
            assert time.monotonic() - began < 60
            await asyncio.sleep(ASKED_AGAIN_AFTER_S)

    async def asked(self, path: str, email: str) -> str:
        """Ask for a link, and the token that it has once its mail is requested; fails where none is."""
        began = time.monotonic()
        answer = await self.commands.post(path, json={"email": email})
        assert answer.status_code == 202, answer.text
        with self.vault() as vault:
            while True:
                row = vault.execute(
                    "select link_id, handled_at from vault.link order by requested_at desc limit 1"
                ).fetchone()
                assert row is not None
                if row[1] is not None:
                    return token_of(row[0], self.sessions.accounts.secrets)
                vault.commit()
                assert time.monotonic() - began < 60
                await asyncio.sleep(0.02)

    def mails(self) -> list[MailRequested]:
        """The mails that were requested, in order."""
        with self.reader() as connection:
            rows = connection.execute(
                "select type, payload::text from log.event where type = 'mail.mail_requested.v1' order by position"
            ).fetchall()
        found = [codec.decode(str(kind), str(payload).encode()) for kind, payload in rows]
        return [each for each in found if isinstance(each, MailRequested)]

    def events(self, stream: str) -> list[Event]:
        """The events of a stream."""
        return [codec.decode(each.type, each.payload) for each in self.recorded(stream)]

    def recorded(self, stream: str) -> list[RecordedEvent]:
        """The events of a stream with all that was recorded."""
        with self.reader() as connection:
            return reading.read_stream(connection, stream)

    def metadata(self, stream: str) -> list[Metadata]:
        """Who caused the events of a stream, and why."""
        return [decode_metadata(each.metadata) for each in self.recorded(stream)]

    def types(self) -> Counter[str]:
        """How many events of each type the log has."""
        with self.reader() as connection:
            return Counter(str(row[0]) for row in connection.execute("select type from log.event"))

    def everything(self) -> str:
        """All that the log says."""
        with self.reader() as connection:
            rows = connection.execute(
                "select stream, payload::text, metadata::text from log.event"
            ).fetchall()
            tags = connection.execute("select tag from log.tag").fetchall()
        return repr((rows, tags))

    def reader(self) -> psycopg.Connection[tuple[object, ...]]:
        """A connection that may read the log."""
        return database.connect(self.url, role="counterfoil_reader", name="test")

    def vault(self) -> psycopg.Connection[tuple[Any, ...]]:
        """A connection that may read and write the vault."""
        return database.connect(self.url, role="counterfoil_vault", name="test")


def bearer(token: str | None) -> dict[str, str]:
    """The header that carries a token."""
    return {} if token is None else {"authorization": f"Bearer {token}"}
