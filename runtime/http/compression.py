"""Large answers are compressed for callers that take gzip (RFC 9110, sections 8.4 and 12.5.3).

An entity tag names bytes, so those that are compressed have one of their own: it is the plain one with an ending, and
what reads entity tags of requests takes both for the same.
"""

import asyncio
import re
import zlib
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from typing import Final

from starlette.responses import FileResponse, Response, StreamingResponse

from runtime.http.headers import Header

COMPRESSED_BYTES_MIN: Final = 4 * 1024
"""Smaller answers fit into some packets anyway, and compressing them would take longer than deciding a command."""

IN_THREAD_BYTES_MIN: Final = 64 * 1024
"""What takes longer than a millisecond is compressed outside the event loop."""

LEVEL: Final = 3
"""Of zlib: a fifth less than level 1 for no more time; the higher ones take twice as long for a few per cent."""

TAG_ENDING: Final = "-gzip"
"""Stands at the end of the entity tag of a compressed answer."""

_GZIP: Final = 31  # of zlib: a gzip header around the largest window
_ENDING: Final = b'-gzip"'
_VARIES: Final = (b"vary", b"accept-encoding")
_ENCODED: Final = (b"content-encoding", b"gzip")
_is_text = re.compile(rb"text/|application/(?:[a-z0-9.-]+\+)?(?:json|x-ndjson|javascript)\b").match
_refused = re.compile(rb"q=0(?:\.0{0,3})?").fullmatch


async def compressed(response: Response, asked: Iterable[Header]) -> Response:
    """The answer as its caller takes it: the same, or compressed; `asked` are the headers of the request."""
    if isinstance(response, FileResponse):
        return response  # parts of it are asked for by their place in the file
    if isinstance(response, StreamingResponse):
        return _compressed_stream(response, asked)
    size = len(response.body)
    if size < COMPRESSED_BYTES_MIN:
        if response.status_code == 304:
            _name_what_is_kept(response, asked)
        return response
    if _is_compressible(response):
        response.raw_headers.append(_VARIES)
        if accepts_gzip(asked):
            body = bytes(response.body)
            response.body = await asyncio.to_thread(gzip, body) if size >= IN_THREAD_BYTES_MIN else gzip(body)
            response.raw_headers = [
                *_of_compressed(response.raw_headers),
                (b"content-length", b"%d" % len(response.body)),
            ]
    return response


def gzip(body: bytes) -> bytes:
    """A body, compressed: the same bytes for the same body."""
    compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, _GZIP)
    return compressor.compress(body) + compressor.flush()


def accepts_gzip(asked: Iterable[Header]) -> bool:
    """Whether a caller takes gzip; one that says nothing gets what every client can read."""
    accepted: dict[bytes, bool] = {}
    for name, value in asked:
        if name == b"accept-encoding":
            for each in value.lower().split(b","):
                coding, _, weight = each.partition(b";")
                accepted[coding.strip()] = _refused(weight.strip()) is None
    return accepted.get(b"gzip", accepted.get(b"x-gzip", accepted.get(b"*", False)))


def plain_tag(tag: bytes) -> bytes:
    """An entity tag as it is without compression."""
    return tag[: -len(_ENDING)] + b'"' if tag.endswith(_ENDING) else tag


def _compressed_stream(response: StreamingResponse, asked: Iterable[Header]) -> Response:
    if _is_compressible(response):
        response.raw_headers.append(_VARIES)
        if accepts_gzip(asked):
            response.raw_headers = _of_compressed(response.raw_headers)
            response.body_iterator = _pieces(response.body_iterator)
    return response


async def _pieces(plain: AsyncIterable[str | bytes | memoryview]) -> AsyncIterator[bytes]:
    """Each piece is whole for its reader when it comes: nothing waits for the next one."""
    compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, _GZIP)

    def squeeze(piece: bytes) -> bytes:
        return compressor.compress(piece) + compressor.flush(zlib.Z_SYNC_FLUSH)

    async for piece in plain:
        data = piece.encode() if isinstance(piece, str) else bytes(piece)
        yield await asyncio.to_thread(squeeze, data) if len(data) >= IN_THREAD_BYTES_MIN else squeeze(data)
    yield compressor.flush()


def _is_compressible(response: Response) -> bool:
    """Whether it is text that is not encoded already."""
    is_text = False
    for name, value in response.raw_headers:
        if name == b"content-type":
            is_text = _is_text(value) is not None
        elif name == b"content-encoding":
            return False
    return is_text


def _of_compressed(headers: Iterable[Header]) -> list[Header]:
    kept = [
        (name, value[:-1] + _ENDING if name == b"etag" else value)
        for name, value in headers
        if name != b"content-length"
    ]
    return [*kept, _ENCODED]


def _name_what_is_kept(response: Response, asked: Iterable[Header]) -> None:
    """304 has the tag of what its caller keeps: compressed or not, it would be answered again."""
    response.raw_headers.append(_VARIES)
    known = b",".join(value for name, value in asked if name == b"if-none-match")
    response.raw_headers = [
        (name, value[:-1] + _ENDING if name == b"etag" and value[:-1] + _ENDING in known else value)
        for name, value in response.raw_headers
    ]
