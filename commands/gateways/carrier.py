"""The carrier: labels are bought over HTTP, as docs/contracts/carrier.md says; nothing of ours is personal in it.

Whatever is not exactly an answer of the contract about this very key and shipment counts as none: a proxy's page, an
answer to another request, half a body, silence.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Mapping
from typing import Final

import httpx
import msgspec
from msgspec import Struct

from commands.gateways.gateway import NoAnswer, Refused, Unaskable
from commands.gateways.parcels import Label, Name, Parcel
from domain.shipping.events import Content

CONNECT_TIMEOUT_S: Final = 5.0
ANSWER_TIMEOUT_S: Final = 10.0
"""How long a call may take in all; a later answer counts as none."""

ANSWER_BYTES_MAX: Final = 64 * 1024
"""A label's answer has some hundred bytes."""

CALLS_MAX: Final = 64
"""Connections at a time."""

WAIT_MAX_S: Final = 300.0
"""The longest pause that Retry-After is followed for."""

REASON_CHARACTERS_MAX: Final = 500

_UNANSWERED: Final = frozenset({401, 403, 408, 421, 425, 429})
"""Statuses below 500 that say nothing of the label: the token is wrong, or the carrier is busy."""

_control = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


class _Request(Struct, frozen=True, kw_only=True):
    key: str
    shipment: str
    country: str
    contents: tuple[Content, ...]


class _Answer(Struct, frozen=True, kw_only=True):
    """The one shape of all answers: about which key, and one of sold, refused and unknown."""

    key: str
    shipment: str | None = None
    label: Name | None = None
    tracking: Name | None = None
    refused: str | None = None
    known: bool = True


class HttpCarrier:
    """The contract's client."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, url: str, *, token: str | None) -> AsyncIterator["HttpCarrier"]:
        """A client of the carrier at `url`, which gets the token with every call.

        No connection is used twice: an answer that is sent twice would be taken for that of the next request.
        """
        async with httpx.AsyncClient(
            base_url=url,
            headers={} if token is None else {"Authorization": f"Bearer {token}"},
            timeout=httpx.Timeout(ANSWER_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
            limits=httpx.Limits(max_connections=CALLS_MAX, max_keepalive_connections=0),
            follow_redirects=False,
            trust_env=False,
        ) as client:
            yield cls(client)

    async def buy(self, key: str, parcel: Parcel) -> Label | Refused:
        """Have a label sold, once for each key.

        Raises:
            NoAnswer: whether it was sold is not known.
            Unaskable: the carrier does not understand the request, or knows the key for another one.
        """
        request = _Request(
            key=key, shipment=parcel.shipment, country=parcel.country, contents=parcel.contents
        )
        headers = {"Content-Type": "application/json", "Idempotency-Key": key}
        status, body = await self._call(
            "POST", "labels", headers=headers, content=msgspec.json.encode(request)
        )
        if status not in {200, 201, 422}:
            raise Unaskable(f"the carrier answered {status}: {_words(body)}")
        answer = _answer(status, body, key=key)
        found = _sold_or_refused(answer, shipment=parcel.shipment)
        if isinstance(found, Refused) != (status == 422):
            raise NoAnswer(f"the carrier contradicts itself: {status} with {_words(body)}")
        return found

    async def find(self, key: str, parcel: Parcel) -> Label | Refused | None:
        """The carrier's answer for a key; None if it never sold or refused anything under it.

        Raises:
            NoAnswer: it does not say.
        """
        status, body = await self._call("GET", "labels", params={"key": key})
        if status not in {200, 404}:
            raise NoAnswer(f"the carrier answered {status}: {_words(body)}")
        answer = _answer(status, body, key=key)
        if status == 200:
            return _sold_or_refused(answer, shipment=parcel.shipment)
        if answer.known:
            raise NoAnswer(f"404, but not that the key is unknown: {_words(body)}")
        return None

    async def _call(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        params: Mapping[str, str] | None = None,
    ) -> tuple[int, bytes]:
        """Status and body.

        Raises:
            NoAnswer: there is none, or the status says nothing of the label.
        """
        try:
            async with (
                asyncio.timeout(ANSWER_TIMEOUT_S),
                self._client.stream(method, path, headers=headers, content=content, params=params) as answer,
            ):
                body = await _read(answer)
        except TimeoutError as error:
            raise NoAnswer(f"the carrier did not answer within {ANSWER_TIMEOUT_S:g} s") from error
        except httpx.HTTPError as error:
            raise NoAnswer(f"{type(error).__name__}: {error}".rstrip(": ")) from error
        status = answer.status_code
        if status in _UNANSWERED or not 200 <= status < 500 or 300 <= status < 400:
            wait_s = _wait_s(answer.headers.get("retry-after", ""))
            raise NoAnswer(f"the carrier answered {status}: {_words(body)}", wait_s=wait_s)
        return status, body


async def _read(answer: httpx.Response) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in answer.aiter_bytes():
        size += len(chunk)
        if size > ANSWER_BYTES_MAX:
            raise NoAnswer(f"the carrier's answer has more than {ANSWER_BYTES_MAX} bytes")
        chunks.append(chunk)
    return b"".join(chunks)


def _answer(status: int, body: bytes, *, key: str) -> _Answer:
    try:
        answer = msgspec.json.decode(body, type=_Answer)
    except msgspec.MsgspecError as error:
        raise NoAnswer(f"the carrier answered {status} with something else: {_words(body)}") from error
    if answer.key != key:
        raise NoAnswer("the carrier answered about another key")
    return answer


def _sold_or_refused(answer: _Answer, *, shipment: str) -> Label | Refused:
    if answer.shipment != shipment:
        raise NoAnswer("the carrier answered about another shipment")
    if answer.refused is not None and answer.label is None:
        reason = _control.sub(" ", answer.refused).strip()[:REASON_CHARACTERS_MAX]
        return Refused(reason or "no reason was given")
    if answer.refused is None and answer.label is not None and answer.tracking is not None:
        return Label(label=answer.label, tracking=answer.tracking)
    raise NoAnswer("the carrier says neither that a label was sold nor that it was refused")


def _words(body: bytes) -> str:
    """The beginning of a body as text for people, on one line."""
    return _control.sub(" ", body[:200].decode("utf-8", "replace"))


def _wait_s(retry_after: str) -> float:
    return min(float(retry_after), WAIT_MAX_S) if re.fullmatch(r"[0-9]{1,9}", retry_after) else 0.0
