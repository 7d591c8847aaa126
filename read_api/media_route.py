"""GET /v1/media/{name}: what was stored under the hash of its content, whole or in part, to be kept by every cache."""

import asyncio
import re
from typing import Final

from fastapi import APIRouter
from starlette.responses import FileResponse, Response

from read_api import by_id
from runtime import problems
from runtime.http import api_version, contract
from runtime.http.contract import Document
from runtime.http.exchange import Exchange
from runtime.http.headers import FOR_EVER, SURROGATE_KEY
from runtime.http.principal import Public
from runtime.http.routes import ExchangeRoute
from runtime.media import ANY_TYPE, NAME_PATTERN, Media, is_name, type_of
from runtime.problem_types import CATALOGUE
from runtime.problems import Fault, ProblemError

PATH: Final = f"{api_version.PREFIX}/media/{{name}}"
EXAMPLE: Final = "0f4a2a3d0d6a6c24ac8f6cb9b4ba9d6a6d94a2cf7a5a7d3c5a3f3cbb0bbf5a2e.png"

_RANGE: Final = b"range"
_one_range = re.compile(rb"bytes=(?:([0-9]{1,18})-([0-9]{1,18})?|-([0-9]{1,18}))", re.IGNORECASE).fullmatch


class MediaRoute(ExchangeRoute):
    """An exchange whose answer comes in pieces, from a file."""

    whole = False


class GetMedium:
    """Answers GET of one name."""

    requires: Final = Public("pictures and static files are shown to everybody who is shown a page")

    async def __call__(self) -> Response:
        """Only declares that it can be called; requests come to `answer`."""
        raise AssertionError("the pipeline calls `answer`")

    async def answer(self, exchange: Exchange) -> Response:
        """Answer with the file, with the one range of it that is asked for, or that the caller has it already."""
        name = exchange.parameters["name"]
        media: Media = exchange.pipeline.app.state.media
        stat = await asyncio.to_thread(media.found, name) if is_name(name) else None
        if stat is None:
            raise ProblemError("not-found", "Nothing is stored under this name.")
        etag = f'"{name.partition(".")[0]}"'
        headers = {"etag": etag, "cache-control": FOR_EVER, SURROGATE_KEY: f"media-{name}"}
        given = dict(exchange.headers)
        if by_id.matches(given.get(b"if-none-match", b""), etag.encode("ascii")):
            return Response(status_code=304, headers=headers)
        self._keep_one_range(exchange, given.get(_RANGE), stat.st_size)
        return FileResponse(media.path(name), headers=headers, media_type=type_of(name), stat_result=stat)

    def _keep_one_range(self, exchange: Exchange, asked: bytes | None, size: int) -> None:
        """Leave one satisfiable range to the response; anything else is ignored, as RFC 9110 allows (14.2).

        Raises:
            ProblemError: `range-not-satisfiable`.
        """
        if asked is None:
            return
        one = _one_range(asked)
        first, last, suffix = (
            (None if each is None else int(each) for each in one.groups()) if one else (0, 0, 1)
        )
        if one is None or (first is not None and last is not None and last < first):
            exchange.scope["headers"] = [header for header in exchange.headers if header[0] != _RANGE]
        elif suffix == 0 or (first or 0) >= size:
            fault = Fault(detail=f"The content has {size} bytes", header="Range")
            content_range = {"content-range": f"bytes */{size}"}
            raise problems.of_fault("range-not-satisfiable", fault, headers=content_range)


def _parameters() -> list[Document]:
    name = {
        "name": "name",
        "in": "path",
        "required": True,
        "description": "The SHA-256 of the content in hex, a dot, and the ending of its type.",
        "schema": {"type": "string", "pattern": NAME_PATTERN},
        "example": EXAMPLE,
    }
    return [name, *contract.refer("parameters", "Range", "If-Range", "If-None-Match")]


def _answers() -> dict[int | str, Document]:
    content = {ANY_TYPE: {"schema": {"type": "string", "format": "binary"}}}
    kept = contract.headers("ETag", "Cache-Control", "Surrogate-Key")
    refused = contract.problem_responses(CATALOGUE[slug] for slug in ("not-found", "range-not-satisfiable"))
    refused[416]["headers"] = contract.headers("Content-Range")
    return {
        200: {"description": "The whole.", "headers": kept, "content": content},
        206: {
            "description": "The range.",
            "headers": {**kept, **contract.headers("Content-Range")},
            "content": content,
        },
        304: {"description": "It is what If-None-Match names.", "headers": kept},
        **refused,
    }


router: Final = APIRouter(tags=["media"])
router.add_api_route(
    PATH,
    GetMedium(),
    methods=["GET"],
    route_class_override=MediaRoute,
    name="get_medium",
    operation_id="get_medium",
    summary="A picture, a video or a static file",
    description="What has this name never changes; every cache may keep it.",
    response_class=Response,
    responses=_answers(),
    openapi_extra={"parameters": _parameters()},
)
