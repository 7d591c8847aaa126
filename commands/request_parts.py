"""A command's HTTP request besides its payload: headers, and a body within limits of size and time."""

import asyncio
import re
from collections.abc import Iterable
from typing import Final

from msgspec import Struct
from starlette.requests import ClientDisconnect

from commands import limits
from commands.calls import ANY_VERSION, SeenAt
from runtime import problems
from runtime.http import compression
from runtime.http.exchange import Exchange
from runtime.http.preferences import Preferences, preferences
from runtime.problems import Fault, ProblemError

_is_key = re.compile(rf"[\x21-\x7e]{{1,{limits.KEY_CHARACTERS_MAX}}}").fullmatch
_is_entity_tag = re.compile(rb'"(0|[1-9][0-9]{0,17})"').fullmatch
_is_view_tag = re.compile(rb'"([1-9][0-9]{0,9})\.s[0-9]+_b[0-9]+\.([1-9][0-9]{0,17})"').fullmatch
_is_json = re.compile(rb"application/(?:[a-z0-9.-]+\+)?json[ \t]*(?:;.*)?", re.IGNORECASE).fullmatch

_CLOSE: Final = {"connection": "close"}
_AS_IT_IS: Final = {"accept-encoding": "identity"}


class Headers(Struct, frozen=True):
    """The headers of a command's request. `length` is what Content-Length says, 0 when it says nothing.

    `encoded`: the body is compressed, or transformed otherwise. `preferences` None: none were sent.
    """

    key: str | None
    if_match: int | SeenAt | None
    json: bool
    encoded: bool
    length: int
    preferences: Preferences | None


def read_headers(raw: Iterable[tuple[bytes, bytes]]) -> Headers:
    """What the headers say.

    Raises:
        ProblemError: If-Match is not one strong entity tag, or a header that counts once was sent twice.
    """
    key: str | None = None
    if_match: int | SeenAt | None = None
    is_json = encoded = False
    length = 0
    preferred: list[str] = []
    for name, value in raw:
        match name:
            case b"idempotency-key":
                if key is not None:
                    raise _sent_twice("idempotency-key-malformed", "Idempotency-Key")
                key = value.decode("latin-1")
            case b"if-match":
                if if_match is not None:
                    raise _sent_twice("if-match-malformed", "If-Match")
                if_match = _version(value)
            case b"content-type":
                is_json = value == b"application/json" or _is_json(value) is not None
            case b"content-encoding":
                encoded = value.strip().lower() not in {b"", b"identity"}
            case b"content-length" if value.isdigit():
                length = int(value[:20])
            case b"prefer":
                preferred.append(value.decode("latin-1"))
    return Headers(key, if_match, is_json, encoded, length, preferences(preferred) if preferred else None)


def valid_key(key: str | None) -> str:
    """The key, if it can be one.

    Raises:
        ProblemError: it is missing or malformed.
    """
    if key is None:
        fault = Fault(detail="The header is missing", header="Idempotency-Key")
        raise ProblemError("idempotency-key-missing", "Every command needs a key.", errors=(fault,))
    if _is_key(key) is None:
        detail = f"A key has 1 to {limits.KEY_CHARACTERS_MAX} visible ASCII characters"
        fault = Fault(detail=detail, header="Idempotency-Key")
        raise problems.of_fault("idempotency-key-malformed", fault)
    return key


async def read_body(exchange: Exchange, *, declared: int, limit: int) -> bytes:
    """The whole body.

    Raises:
        ProblemError: it is larger than `limit` bytes, or not there in time.
        ClientDisconnect: there is nobody left to answer.
    """
    if declared > limit:
        raise _too_large(limit)
    if exchange.whole is not None:
        return exchange.whole  # no more than the server reads at once
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(limits.BODY_TIMEOUT_S):
            while True:
                message = await exchange.receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                chunk = message.get("body", b"")
                size += len(chunk)
                if size > limit:
                    raise _too_large(limit)
                chunks.append(chunk)
                if not message.get("more_body", False):
                    return b"".join(chunks)
    except TimeoutError:
        raise _too_slow() from None


def require_json(headers: Headers) -> None:
    """Refuse a body that does not say that it is JSON, or that is encoded.

    Raises:
        ProblemError: Content-Type is missing or another one, or there is a Content-Encoding.
    """
    if headers.encoded:
        fault = Fault(detail="The body must be sent without a content coding", header="Content-Encoding")
        raise problems.of_fault("unsupported-media-type", fault, headers=_AS_IT_IS)
    if not headers.json:
        fault = Fault(detail="Content-Type must be application/json", header="Content-Type")
        raise problems.of_fault("unsupported-media-type", fault)


def _sent_twice(slug: str, header: str) -> ProblemError:
    fault = Fault(detail=f"The header {header} was sent more than once", header=header)
    return problems.of_fault(slug, fault)


def _version(value: bytes) -> int | SeenAt:
    tag = compression.plain_tag(value.strip())
    if tag == b"*":
        return ANY_VERSION
    seen = _is_view_tag(tag)
    if seen is not None:
        return SeenAt(int(seen[1]), int(seen[2]))
    found = _is_entity_tag(tag)
    if found is None:
        detail = 'An entity tag is what an answer had as its ETag, in quotes: a version, such as "3", or that of a read'
        fault = Fault(detail=detail, header="If-Match")
        raise problems.of_fault("if-match-malformed", fault)
    return int(found[1])


def _too_large(limit: int) -> ProblemError:
    # What is left of the body is not read, so the connection cannot be used again.
    return ProblemError(
        "body-too-large", f"The body has more than {limit} bytes.", headers=_CLOSE, limit_bytes=limit
    )


def _too_slow() -> ProblemError:
    return ProblemError(
        "body-too-slow",
        f"The body was not complete after {limits.BODY_TIMEOUT_S:g} seconds.",
        headers=_CLOSE,
        limit_seconds=limits.BODY_TIMEOUT_S,
    )
