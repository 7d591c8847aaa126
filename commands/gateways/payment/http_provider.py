"""A payment provider over HTTP, as docs/contracts/payment.md says; nothing of ours is personal in it.

Whatever is not exactly an answer of the contract about this very key, payment and amount counts as none.
"""

import contextlib
from collections.abc import AsyncIterator
from typing import Final

import msgspec
from msgspec import Struct

from commands.gateways.gateway import NoAnswer, Unaskable
from commands.gateways.outside import OutsideClient, words
from commands.gateways.payment.operations import Operation
from commands.payment_outcomes import Contradiction, Outcome, ProviderAnswer, outcome_of
from runtime.decoders import json_decoder

_DECIDED: Final = frozenset((200, 201))


class _Unknown(Struct, frozen=True, kw_only=True):
    key: str
    known: bool


class HttpProvider:
    """The contract's client."""

    def __init__(self, client: OutsideClient) -> None:
        self._client = client

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, url: str, *, token: str | None) -> AsyncIterator["HttpProvider"]:
        """A client of the provider at `url`, which gets the token with every call."""
        async with OutsideClient.open(url, name="payment provider", token=token) as client:
            yield cls(client)

    async def find(self, operation: Operation) -> Outcome | None:
        """See `Psp`."""
        status, body = await self._client.call("GET", "operations", params={"key": operation.key})
        if status == 200:
            return _outcome(status, body, operation)
        if status != 404:
            raise NoAnswer(f"the payment provider answered {status}: {words(body)}")
        try:
            unknown = json_decoder(_Unknown).decode(body)
        except msgspec.MsgspecError as error:
            raise NoAnswer(f"404, but not that the key is unknown: {words(body)}") from error
        if unknown.known or unknown.key != operation.key:
            raise NoAnswer(f"404, but not that the key is unknown: {words(body)}")
        return None

    async def perform(self, operation: Operation) -> Outcome:
        """See `Psp`."""
        return await self._posted("operations", operation)

    async def cancel(self, operation: Operation) -> Outcome:
        """See `Psp`."""
        return await self._posted("cancellations", operation)

    async def _posted(self, path: str, operation: Operation) -> Outcome:
        headers = {"Content-Type": "application/json", "Idempotency-Key": operation.key}
        status, body = await self._client.call(
            "POST", path, headers=headers, content=msgspec.json.encode(operation)
        )
        if status not in _DECIDED:
            raise Unaskable(f"the payment provider answered {status}: {words(body)}")
        return _outcome(status, body, operation)


def _outcome(status: int, body: bytes, operation: Operation) -> Outcome:
    try:
        return outcome_of(json_decoder(ProviderAnswer).decode(body), operation)
    except msgspec.MsgspecError as error:
        raise NoAnswer(
            f"the payment provider answered {status} with something else: {words(body)}"
        ) from error
    except Contradiction as error:
        raise NoAnswer(f"the payment provider answered {status}: {error}") from error
