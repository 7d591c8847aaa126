"""PUT /v1/media/{name}: bytes that products and pages of the shop name by their hash.

No event says that they are there: what shows them to somebody, such as a product, names the hash on the log. The name
is that of the content, so sending it again changes nothing, and no idempotency key is needed.
"""

import asyncio
from typing import Final

import msgspec
from fastapi import APIRouter
from starlette.responses import Response

from commands.documentation import problem_responses
from commands.request_parts import read_body, read_headers
from runtime import problems
from runtime.http import api_version, contract
from runtime.http.contract import Document
from runtime.http.exchange import Exchange
from runtime.http.routes import ExchangeRoute
from runtime.media import ANY_TYPE, BYTES_MAX, NAME_PATTERN, Media, NotWhatItsNameSays, is_name, type_of
from runtime.problems import Fault, ProblemError

PATH: Final = f"{api_version.PREFIX}/media/{{name}}"
EXAMPLE: Final = "0f4a2a3d0d6a6c24ac8f6cb9b4ba9d6a6d94a2cf7a5a7d3c5a3f3cbb0bbf5a2e.png"

_encode = msgspec.json.Encoder().encode
_PARAMETER: Final[Document] = {
    "name": "name",
    "in": "path",
    "required": True,
    "description": "The SHA-256 of the content in hex, a dot, and the ending of its type.",
    "schema": {"type": "string", "pattern": NAME_PATTERN},
    "example": EXAMPLE,
}


class StoredMedium(msgspec.Struct, frozen=True):
    """What is stored; `address` is its path at the query API."""

    name: str
    address: str
    media_type: str
    bytes: int


class StoreMedium:
    """Takes the content of one name."""

    requires: Final = "catalogue:write"

    async def __call__(self) -> Response:
        """Only declares that it can be called; requests come to `answer`."""
        raise AssertionError("the pipeline calls `answer`")

    async def answer(self, exchange: Exchange) -> Response:
        """Read the body and store it: 201, or 200 if it was there."""
        name = exchange.parameters["name"]
        if not is_name(name):
            raise ProblemError("not-found", f"A name has the form {NAME_PATTERN}.")
        _require_type(exchange, name)
        declared = read_headers(exchange.headers).length
        content = await read_body(exchange, declared=declared, limit=BYTES_MAX)
        media: Media = exchange.pipeline.app.state.media
        try:
            is_new = await asyncio.to_thread(media.put, name, content)
        except NotWhatItsNameSays as error:
            raise problems.invalid([Fault(detail=f"{error}"[:1].upper() + f"{error}"[1:])]) from None
        address = PATH.format(name=name)
        stored = StoredMedium(name, address, type_of(name), len(content))
        return Response(_encode(stored), status_code=201 if is_new else 200, media_type="application/json")


def _require_type(exchange: Exchange, name: str) -> None:
    """Refuse what is not declared as the type that its name ends in, or is encoded."""
    given = dict(exchange.headers)
    declared = given.get(b"content-type", b"").decode("latin-1").partition(";")[0].strip().lower()
    if b"content-encoding" in given or declared not in {type_of(name), ANY_TYPE}:
        fault = Fault(
            detail=f"What has this name is sent as {type_of(name)} or {ANY_TYPE}, without a content coding",
            header="Content-Type",
        )
        raise problems.of_fault("unsupported-media-type", fault)


def _answers() -> dict[int | str, Document]:
    (shape,), shapes = msgspec.json.schema_components([StoredMedium], ref_template=contract.SCHEMA)
    example = {
        "name": EXAMPLE,
        "address": PATH.format(name=EXAMPLE),
        "media_type": "image/png",
        "bytes": 48_213,
    }
    content = {"application/json": {"schema": {**shape, "$defs": shapes}, "example": example}}
    return {
        201: {"description": "It is stored.", "content": content},
        200: {"description": "It was there already.", "content": content},
        **problem_responses(
            ("not-found", "body-too-slow", "body-too-large", "unsupported-media-type", "validation-failed")
        ),
    }


router: Final = APIRouter(tags=["media"])
router.add_api_route(
    PATH,
    StoreMedium(),
    methods=["PUT"],
    route_class_override=ExchangeRoute,
    name="store_medium",
    operation_id="store_medium",
    summary="Store a picture, a video or a static file",
    description=f"At most {BYTES_MAX // 2**20} MiB. Sent again it changes nothing; what is stored never changes.",
    response_class=Response,
    responses=_answers(),
    openapi_extra={
        "parameters": [_PARAMETER],
        "requestBody": {
            "required": True,
            "content": {ANY_TYPE: {"schema": {"type": "string", "format": "binary"}}},
        },
    },
)
