"""Answers as HTTP: a pure function of the stream, its version and the position, so a replay has the same bytes."""

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

import msgspec
from msgspec import Struct
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from commands.recording import Answer
from commands.settling import Settled
from domain.aggregate import category_of
from runtime.http import api_version

_encode = msgspec.json.Encoder().encode


class Accepted(BaseModel):
    """The answer of an accepted command."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"stream": "order-1001", "version": 1, "position": 4711, "id": "1001"}}
    )

    stream: str = Field(description="The stream that holds what was decided.")
    version: int = Field(description="The stream's version now, also in ETag.")
    position: int = Field(description="The log position of the stream's last event.")
    id: str = Field(description="The id of what the command was about: the caller's own, or a new UUID.")


class RawResponse(Response):
    """A response whose headers are written already: assembling them again costs more than the rest."""

    def __init__(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        self.status_code = status
        self.body = body
        self.background = None
        self.raw_headers = headers


def members(answer: Answer) -> dict[str, Any]:
    """The members of an answer's body."""
    return {
        "stream": answer.stream,
        "version": answer.version,
        "position": answer.position,
        "id": answer.identifier,
    }


def accepted(
    answer: Answer, *, position_token: str, location: str, settled: Settled | None = None
) -> Response:
    """The answer to one command; `settled` where its caller waited for what it led to."""
    body = _encode(members(answer))
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"etag", b'"%d"' % answer.version),
        (b"position", position_token.encode("ascii")),
        (b"location", location.encode("ascii")),
    ]
    if answer.replayed:
        headers.append((b"idempotent-replayed", b"true"))
    if settled is not None:
        headers.append((b"settled", settled.header.encode("ascii")))
        headers.append((b"preference-applied", settled.applied.encode("ascii")))
    return RawResponse(201, headers, body)


def batch(results: Iterable[dict[str, Any]], *, position_token: str) -> Response:
    """The answer to a batch: one result per command, in the order of the commands."""
    body = _encode({"results": list(results)})
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"position", position_token.encode("ascii")),
    ]
    return RawResponse(200, headers, body)


class ResourceLocations(Struct, frozen=True):
    """Where the query API shows what commands are about: its base address, and its resources by stream category."""

    query_api_url: str
    resources: Mapping[str, str]

    def of(self, answer: Answer) -> str:
        """The address of the resource, or else of the stream."""
        resource = self.resources.get(category_of(answer.stream))
        if resource is None:
            return f"{self.query_api_url}{api_version.PREFIX}/streams/{quote(answer.stream, safe='')}/events"
        before, by_position, _ = resource.partition("{position}")
        place = str(answer.position) if by_position else quote(answer.identifier, safe="")
        return f"{self.query_api_url}{before}{place}"
