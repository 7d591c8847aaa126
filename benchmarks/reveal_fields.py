"""What does it cost to show a personal field, when its key is open already?

A row of three sealed fields goes through the whole step of a read: decoded, opened, and encoded as its reader sees it.
"""

import asyncio
import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, Final

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from benchmarks.laboratory import Laboratory
from benchmarks.measuring import alternating
from benchmarks.table import Goal, Row
from domain.ids import CustomerId
from domain.sealed import NONCE_BYTES, KeyId, Sealed
from domain.text import Personal
from projections.view import Row as ViewRow
from projections.view import View
from read_api.reveal import Reveal
from runtime.http.exchange import Exchange, nothing_more
from runtime.http.principal import Principal
from runtime.keyring.keyring import SealedField

NAME: Final = "reveal"
FIELDS: Final = 3
ROWS: Final = 2_000
GOALS: Final = (Goal("ours", at_most=50.0),)

_OF: Final = {"purpose": "this measurement", "kept": "not at all"}
_OWNER: Final = Principal("account", "owner", frozenset(), frozenset(("owner",)))
_CIPHER: Final = AESGCM(bytes(32))


class MeasuredRow(ViewRow, frozen=True, kw_only=True):
    """Somebody, as a row has them."""

    customer_id: CustomerId
    email: Annotated[Sealed, Personal("email", **_OF)]
    name: Annotated[Sealed, Personal("name", **_OF)]
    street: Annotated[Sealed, Personal("address", **_OF)]
    orders: int


def rows(laboratory: Laboratory) -> Iterator[Row]:
    """One row: processor time of one field, against opening its ciphertext and nothing else."""
    view = View(name="measured", row=MeasuredRow, key=("customer_id",), shape=1, category="customer")
    reveal = Reveal(view, lambda: _opened)
    exchange = Exchange({"method": "GET", "headers": []}, nothing_more)
    exchange.principal = _OWNER
    bodies = [_body(number) for number in range(laboratory.size.count(ROWS, tiny=20))]

    async def show() -> None:
        for body in bodies:
            await reveal.body(exchange, body, own=False, detail="")

    def decrypt() -> None:
        for body in bodies:
            row = msgspec.json.decode(body, type=MeasuredRow)
            for field in (row.email, row.name, row.street):
                _CIPHER.decrypt(field.nonce, field.ciphertext, b"place")

    fields = len(bodies) * FIELDS
    found = alternating(
        {
            "ours": lambda: _spent_us(lambda: asyncio.run(show()), fields),
            "limit": lambda: _spent_us(decrypt, fields),
        },
        rounds=laboratory.size.rounds,
    )
    yield Row(
        name=NAME,
        case=f"rows of {FIELDS} sealed fields, keys open",
        unit="µs/field of processor time",
        ours=found["ours"],
        limit=found["limit"],
        limit_name="decoding and AES-256-GCM alone",
        goals=GOALS,
    )


async def _opened(fields: Sequence[SealedField]) -> list[Any]:
    """What a keyring does that has the key: one decryption for each value."""
    return [_CIPHER.decrypt(each.nonce, each.ciphertext, b"place").decode() for each in fields]


def _spent_us(work: Callable[[], None], fields: int) -> float:
    began = time.process_time()
    work()
    return (time.process_time() - began) * 1e6 / fields


def _body(number: int) -> bytes:
    def sealed(text: str) -> Sealed:
        nonce = os.urandom(NONCE_BYTES)
        return Sealed(KeyId("0198b2f4"), nonce, _CIPHER.encrypt(nonce, text.encode(), b"place"))

    return msgspec.json.encode(
        MeasuredRow(
            customer_id=CustomerId(f"c-{number}"),
            email=sealed("jane@example.com"),
            name=sealed("Jane Doe"),
            street=sealed("1 High Street, Little Hampton"),
            orders=number,
        )
    )
