"""A credit note: money given back for pieces that came back. It is issued once and never changes.

Refusals:

Conflict  CreditNoteIdTaken
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from msgspec import Struct

from domain.aggregate import Aggregate
from domain.event import Event
from domain.ids import CreditNoteId, CustomerId, OrderId
from domain.moment import in_utc
from domain.money import Currency, Minor
from domain.ordering.events import CreditLine, CreditNoteIssued
from domain.ordering.lines import LineRequest, grand_total, per_sku, priced
from domain.rejection import Conflict


class CreditNote(Struct, frozen=True):
    """All there is to know once it is issued."""

    credit_note_id: CreditNoteId
    currency: Currency
    total: Minor


@dataclass(kw_only=True, eq=False)
class CreditNoteIdTaken(Conflict):
    """The id belongs to a credit note already."""

    title = "The id belongs to a credit note already"
    meaning = "A credit note is issued once."
    remedy = "Choose another id. To repeat a request whose answer was lost, send it with its first key."

    credit_note_id: CreditNoteId

    def __str__(self) -> str:
        return f"There is a credit note '{self.credit_note_id}' already."


def evolve(_note: CreditNote | None, event: Event) -> CreditNote:
    """Return the credit note as it is after `event`."""
    match event:
        case CreditNoteIssued():
            return CreditNote(event.credit_note_id, event.currency, event.total)
    raise AssertionError(f"{type(event).__name__} is no fact of a credit note")


CREDIT_NOTE: Final[Aggregate[CreditNote]] = Aggregate(
    "credit_note", evolve, (CreditNoteIssued,), cached=False
)
"""Not cached: nothing is decided on one twice."""


def issue(
    note: CreditNote | None,
    *,
    credit_note_id: CreditNoteId,
    order_id: OrderId | None,
    customer_id: CustomerId | None,
    issued_at: datetime,
    country: str,
    currency: Currency,
    lines: Sequence[LineRequest],
) -> list[Event]:
    """Give money back for the lines, at the prices given.

    Raises:
        CreditNoteIdTaken: there is a credit note with this id.
        LineCountOutOfRange, QuantityOutOfRange, MalformedUnitPrice, UnknownCurrency, AmountTooLarge: the
            lines cannot be credited as they stand.
    """
    if note is not None:
        raise CreditNoteIdTaken(credit_note_id=credit_note_id)
    credited = priced(lines, line=CreditLine, currency=currency)
    return [
        CreditNoteIssued(
            credit_note_id=credit_note_id,
            order_id=order_id,
            customer_id=customer_id,
            issued_at=in_utc(issued_at),
            country=country,
            currency=currency,
            lines=credited,
            skus=per_sku(credited),
            units=sum(line.quantity for line in credited),
            total=grand_total(credited, currency=currency),
        )
    ]
