"""Sentences for tests of commands over HTTP: given events in a log, when something is posted, then this is answered.

async with opened(database_url, LENDING, clock=lambda: NOW) as library:
    await library.record((BOOK, "dune", added()))
    lent = await library.post("/v1/books/dune/loan", {"reader_id": "ada"})
    lent.then_accepted(stream="book-dune", version=2)
    again = await library.post("/v1/books/dune/loan", {"reader_id": "bob"})
    again.then_refused(409, "book-lent-already", book_id="dune")

The command API runs in the process of the test, on a real log (see the fixture `database_url`).
"""

import contextlib
import itertools
import json
import secrets
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, Final, cast

import httpx
import psycopg
from fastapi import FastAPI
from pydantic import SecretStr

from commands import app as command_api
from commands.decision import Appended
from commands.dispatcher import Clock
from commands.routing import CommandRoute
from counterfoil import applications
from counterfoil.context import Context, Contexts
from counterfoil.operations import OPERATIONS
from domain.event import Event, partition_key_of, tags_of
from event_store.log import codec, reading
from event_store.log.appending.writer import Writer
from event_store.log.envelope import (
    ANY,
    Accepted,
    AppendRequest,
    Expectation,
    Metadata,
    NewEvent,
    RecordedEvent,
    encode_metadata,
)
from runtime import database
from runtime.settings import Settings

CONNECTIONS: Final = 4
"""Connections to the database for one command API of a test."""

Client = httpx.AsyncClient

_keys = itertools.count(1)


def new_key() -> str:
    """An idempotency key that no other request of this run has."""
    return f"key-{next(_keys)}"


def documented(route: CommandRoute) -> dict[str, int]:
    """The codes of the problems that a command documents, with their status."""
    return {
        code: int(status)
        for status, response in route.responses.items()
        for content in response.get("content", {}).values()
        for code in content["examples"]
    }


class Answered:
    """What a request was answered."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.status = response.status_code
        self.headers = response.headers
        self.bytes = response.content

    @property
    def body(self) -> dict[str, Any]:
        """The JSON object of the answer."""
        return cast("dict[str, Any]", json.loads(self.bytes))

    def then_accepted(self, *, stream: str, version: int, replayed: bool = False) -> "Answered":
        """The command was accepted: the stream stands at this version."""
        assert self.status == 201, self.bytes
        assert (stream, version) == (self.body["stream"], self.body["version"])
        assert f'"{version}"' == self.headers["etag"]
        assert ("true" if replayed else None) == self.headers.get("idempotent-replayed")
        return self

    def then_shown(self, body: Mapping[str, object]) -> "Answered":
        """The query was answered with exactly this object."""
        assert self.status == 200, self.bytes
        assert body == self.body
        return self

    def then_listed(self, *items: Mapping[str, object], more: bool = False) -> "Answered":
        """The list was answered with exactly these rows in this order; whether there are `more` on the next page."""
        assert self.status == 200, self.bytes
        assert list(items) == self.body["items"]
        assert more is (self.body["next_cursor"] is not None)
        return self

    def then_refused(
        self, status: int, code: str, /, *, at: Iterable[str] | None = None, **facts: object
    ) -> "Answered":
        """It was refused with this problem; `at` are the pointers, parameters or headers that are named."""
        assert (status, code) == (self.status, self.body.get("code")), self.bytes
        assert self.headers["content-type"] == "application/problem+json"
        assert status == self.body["status"]
        assert f"/problems/{code}" == self.body["type"]
        assert self.headers["correlation-id"] == self.body["correlation_id"]
        if at is not None:
            assert set(at) == {
                fault.get("pointer", fault.get("parameter", fault.get("header")))
                for fault in self.body["errors"]
            }
        given = self.body.get("facts", {})
        assert facts == {name: given.get(name) for name in facts}
        return self


class CommandApi:
    """One command API on a log of its own."""

    def __init__(self, app: FastAPI, client: Client, url: str) -> None:
        self.app = app
        self.client = client
        self.url = url

    async def record(self, *appended: Appended) -> None:
        """Have these events in the log, written by another process: (aggregate, id, event), in order."""
        async with Writer.open(self.url, name="test writer") as writer:
            # Queued together, they leave together and in order: one by one, most tests would wait for this most.
            queued = [
                writer.submit(_recording(aggregate.stream(identifier), event))
                for aggregate, identifier, event in appended
            ]
            for verdict in queued:
                assert isinstance(await verdict, Accepted)

    async def post(
        self,
        path: str,
        body: object = None,
        *,
        key: str | None = "",
        headers: Mapping[str, str] | None = None,
        if_match: str | None = None,
    ) -> Answered:
        """Post a JSON body (or raw bytes) under a key: a new one unless given, none at all if None."""
        content = body if isinstance(body, bytes) else json.dumps({} if body is None else body).encode()
        sent = {"content-type": "application/json", **(headers or {})}
        if key is not None:
            sent["idempotency-key"] = key or new_key()
        if if_match is not None:
            sent["if-match"] = if_match
        answer = Answered(await self.client.post(path, content=content, headers=sent))
        self._require_documented(path, answer)
        return answer

    async def batch(self, *commands: Mapping[str, object]) -> Answered:
        """Post a batch."""
        content = json.dumps({"commands": list(commands)}).encode()
        return Answered(
            await self.client.post(
                "/v1/commands", content=content, headers={"content-type": "application/json"}
            )
        )

    def events(self, stream: str) -> list[Event]:
        """The events of a stream, as the log has them."""
        return [codec.decode(each.type, each.payload) for each in self.recorded(stream)]

    def recorded(self, stream: str) -> list[RecordedEvent]:
        """The events of a stream with all that was recorded."""
        with self.reader() as connection:
            return reading.read_stream(connection, stream)

    @property
    def position(self) -> int:
        """The log's last position."""
        with self.reader() as connection:
            return reading.head(connection).position

    def reader(self) -> psycopg.Connection[tuple[object, ...]]:
        """A connection that may read the log and the views."""
        return database.connect(self.url, role="counterfoil_reader", name="test")

    def _require_documented(self, path: str, answer: Answered) -> None:
        """Whatever a command is refused with, the OpenAPI document says that it may be."""
        for route in self.app.routes:
            if answer.status >= 400 and isinstance(route, CommandRoute) and route.path_regex.match(path):
                code = answer.body["code"]
                assert answer.status == documented(route).get(code), f"{code} is documented nowhere"


@contextlib.asynccontextmanager
async def opened(
    database_url: str, *contexts: Context, clock: Clock = command_api.utc_now, **settings: str
) -> AsyncIterator[CommandApi]:
    """A command API that serves these contexts on a log, with further settings; a test may open several on one."""
    with_log = Settings(database_url=SecretStr(database_url), database_pool_size=CONNECTIONS, **settings)
    app = applications.command_app(with_log, contexts=Contexts(*contexts, OPERATIONS), clock=clock)
    async with serving(app) as client:
        yield CommandApi(app, client, database_url)


@contextlib.asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[Client]:
    """An application that has started, and a client of it, in the test's process."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with app.router.lifespan_context(app), Client(transport=transport, base_url="http://api") as client:
        yield client


def _recording(stream: str, event: Event) -> AppendRequest:
    type_name, payload = codec.encode(event)
    tags = tags_of(event)
    metadata = Metadata(
        actor="test", command="given", correlation_id="test", nonce=secrets.token_bytes(16), tags=tags
    )
    return AppendRequest(
        key=secrets.token_bytes(16),
        fingerprint=secrets.token_bytes(32),
        events=(
            NewEvent(
                stream,
                type_name,
                payload,
                encode_metadata(metadata),
                partition_key=partition_key_of(event),
                tags=tags,
            ),
        ),
        expectations=(Expectation(stream, ANY),),
    )
