"""The carrier: labels are bought over HTTP, as docs/contracts/carrier.md says; nothing of ours is personal in it.

Whatever is not exactly an answer of the contract about this very key and shipment counts as none: a proxy's page, an
answer to another request, half a body, silence.
"""

import contextlib
from collections.abc import AsyncIterator
from typing import Final

import msgspec
from msgspec import Struct

from commands.gateways.gateway import NoAnswer, Refused, Unaskable
from commands.gateways.outside import OutsideClient, one_line, words
from commands.gateways.parcels import Label, Name, Parcel
from domain.shipping.events import Content
from runtime.decoders import json_decoder

REASON_CHARACTERS_MAX: Final = 500


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

    def __init__(self, client: OutsideClient) -> None:
        self._client = client

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, url: str, *, token: str | None) -> AsyncIterator["HttpCarrier"]:
        """A client of the carrier at `url`, which gets the token with every call."""
        async with OutsideClient.open(url, name="carrier", token=token) as client:
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
        status, body = await self._client.call(
            "POST", "labels", headers=headers, content=msgspec.json.encode(request)
        )
        if status not in {200, 201, 422}:
            raise Unaskable(f"the carrier answered {status}: {words(body)}")
        answer = _answer(status, body, key=key)
        found = _sold_or_refused(answer, shipment=parcel.shipment)
        if isinstance(found, Refused) != (status == 422):
            raise NoAnswer(f"the carrier contradicts itself: {status} with {words(body)}")
        return found

    async def find(self, key: str, parcel: Parcel) -> Label | Refused | None:
        """The carrier's answer for a key; None if it never sold or refused anything under it.

        Raises:
            NoAnswer: it does not say.
        """
        status, body = await self._client.call("GET", "labels", params={"key": key})
        if status not in {200, 404}:
            raise NoAnswer(f"the carrier answered {status}: {words(body)}")
        answer = _answer(status, body, key=key)
        if status == 200:
            return _sold_or_refused(answer, shipment=parcel.shipment)
        if answer.known:
            raise NoAnswer(f"404, but not that the key is unknown: {words(body)}")
        return None


def _answer(status: int, body: bytes, *, key: str) -> _Answer:
    try:
        answer = json_decoder(_Answer).decode(body)
    except msgspec.MsgspecError as error:
        raise NoAnswer(f"the carrier answered {status} with something else: {words(body)}") from error
    if answer.key != key:
        raise NoAnswer("the carrier answered about another key")
    return answer


def _sold_or_refused(answer: _Answer, *, shipment: str) -> Label | Refused:
    if answer.shipment != shipment:
        raise NoAnswer("the carrier answered about another shipment")
    if answer.refused is not None and answer.label is None:
        reason = one_line(answer.refused).strip()[:REASON_CHARACTERS_MAX]
        return Refused(reason or "no reason was given")
    if answer.refused is None and answer.label is not None and answer.tracking is not None:
        return Label(label=answer.label, tracking=answer.tracking)
    raise NoAnswer("the carrier says neither that a label was sold nor that it was refused")
