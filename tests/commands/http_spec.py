"""Sentences for tests of HTTP commands: given facts in the log, when something is posted, then this is answered.

shop = await given(product_created(), stock_received())
answer = await shop.post("/v1/stock/85123A/adjustments", {"delta": -99, "reason": "loss"})
answer.then_refused(409, "insufficient-stock", requested=99, available=10)
"""

import itertools
import json
import secrets
from collections.abc import Iterable, Mapping
from typing import Any, cast

import httpx
import psycopg
from fastapi import FastAPI

from commands.routing import CommandRoute
from domain.catalogue.events import PriceChanged, ProductCreated
from domain.event import Event, partition_key_of, tags_of
from domain.ordering.events import CreditNoteIssued
from domain.shipping.events import LabelBought, LabelRefused, LabelRequested
from event_store import codec, reading
from event_store.appending.writer import Writer
from event_store.envelope import (
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
        return cast("dict[str, Any]", json.loads(self.bytes))

    def then_accepted(self, *, stream: str, version: int, replayed: bool = False) -> "Answered":
        """The command was accepted: the stream stands at this version."""
        assert self.status == 201, self.bytes
        assert (stream, version) == (self.body["stream"], self.body["version"])
        assert f'"{version}"' == self.headers["etag"]
        assert ("true" if replayed else None) == self.headers.get("idempotent-replayed")
        return self

    def then_refused(
        self, status: int, code: str, /, *, at: Iterable[str] | None = None, **facts: object
    ) -> "Answered":
        """It was refused with this problem; `at` are the pointers, parameters or headers that are named."""
        assert (status, code) == (self.status, self.body["code"]), self.bytes
        assert "application/problem+json" == self.headers["content-type"]
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


class Shop:
    """One command API on a log of its own."""

    def __init__(self, app: FastAPI, client: httpx.AsyncClient, url: str) -> None:
        self.app = app
        self.client = client
        self.url = url

    async def given(self, *facts: Event) -> "Shop":
        """These facts are in the log already, written by another process."""
        async with Writer.open(self.url, name="test writer") as writer:
            for fact in facts:
                assert isinstance(await writer.append(_recording(fact)), Accepted)
        return self

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

    def _require_documented(self, path: str, answer: Answered) -> None:
        """Whatever a command is refused with, the OpenAPI document says that it may be."""
        for route in self.app.routes:
            if answer.status >= 400 and isinstance(route, CommandRoute) and route.path_regex.match(path):
                code = answer.body["code"]
                assert answer.status == documented(route).get(code), f"{code} is documented nowhere"

    async def batch(self, *commands: Mapping[str, object]) -> Answered:
        """Post a batch."""
        content = json.dumps({"commands": list(commands)}).encode()
        return Answered(
            await self.client.post(
                "/v1/commands", content=content, headers={"content-type": "application/json"}
            )
        )

    def events(self, stream: str) -> list[Event]:
        """The facts of a stream, as the log has them."""
        with self.reader() as connection:
            return [codec.decode(e.type, e.payload) for e in reading.read_stream(connection, stream)]

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
        return database.connect(self.url, role="counterfoil_reader", name="test")


def stream_of(fact: Event) -> str:
    """The stream that a fact belongs to."""
    match fact:
        case ProductCreated() | PriceChanged():
            return f"product-{fact.sku}"
        case CreditNoteIssued():
            return f"credit_note-{fact.credit_note_id}"
        case LabelRequested() | LabelBought() | LabelRefused():
            return f"shipment-{fact.order_id}"
        case _ if hasattr(fact, "received_at") or type(fact).__module__ == "domain.inventory.events":
            return f"stock-{fact.sku}"  # type: ignore[attr-defined]
        case _:
            return f"order-{fact.order_id}"  # type: ignore[attr-defined]


def _recording(fact: Event) -> AppendRequest:
    stream = stream_of(fact)
    type_name, payload = codec.encode(fact)
    metadata = Metadata(actor="test", command="given", correlation_id="test", nonce=secrets.token_bytes(16))
    return AppendRequest(
        key=secrets.token_bytes(16),
        fingerprint=secrets.token_bytes(32),
        events=(
            NewEvent(
                stream,
                type_name,
                payload,
                encode_metadata(metadata),
                partition_key=partition_key_of(fact),
                tags=tags_of(fact),
            ),
        ),
        expectations=(Expectation(stream, ANY),),
    )
