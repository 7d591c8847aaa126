"""A credit note: money given back for pieces that came back. It is issued once and never changes.

One that names an order is held against it: no more pieces are credited than were shipped, in the order's currency and
country, to its customer. Refusals:

Conflict  CreditNoteIdTaken, CreditedInAnotherCurrency, CreditedToAnotherCustomer, CreditedInAnotherCountry,
          MoreCreditedThanShipped
Unknown   OrderUnknown
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from msgspec import Struct

from domain.aggregate import Aggregate
from domain.event import Event
from domain.ids import CreditNoteId, CustomerId, OrderId, Sku
from domain.moment import in_utc
from domain.money import Currency, Minor
from domain.ordering.events import CreditLine, CreditNoteIssued, SkuTotal
from domain.ordering.lines import LineRequest, grand_total, per_sku, priced
from domain.ordering.order import Order, OrderUnknown, Status
from domain.rejection import Conflict


class CreditNote(Struct, frozen=True):
    """All there is to know once it is issued."""

    credit_note_id: CreditNoteId
    currency: Currency
    total: Minor


Credited = Mapping[Sku, int]
"""Pieces of each SKU that were credited on one order so far."""


class NamedOrder(Struct, frozen=True):
    """The order that a credit note names, as it stands (None: there is none), and what was credited on it so far."""

    order_id: OrderId
    order: Order | None
    credited: Credited


class Excess(Struct, frozen=True):
    """A SKU of which more pieces would be credited than were shipped."""

    sku: Sku
    requested: int
    shipped: int
    credited: int


@dataclass(kw_only=True, eq=False)
class CreditNoteIdTaken(Conflict):
    """The id belongs to a credit note already."""

    title = "The id belongs to a credit note already"
    meaning = "A credit note is issued once."
    remedy = "Choose another id. To repeat a request whose answer was lost, send it with its first key."

    credit_note_id: CreditNoteId

    def __str__(self) -> str:
        return f"There is a credit note '{self.credit_note_id}' already."


@dataclass(kw_only=True, eq=False)
class CreditedInAnotherCurrency(Conflict):
    """The order was not sold in the currency of the credit note."""

    title = "The order was sold in another currency"
    meaning = "The credit note names an order, and has another currency than the order."
    remedy = "Credit the order in its own currency, which `facts.sold_in` names."

    order_id: OrderId
    sold_in: Currency
    credited_in: Currency

    def __str__(self) -> str:
        return (
            f"Order '{self.order_id}' was sold in {self.sold_in}; it is not credited in {self.credited_in}."
        )


@dataclass(kw_only=True, eq=False)
class CreditedToAnotherCustomer(Conflict):
    """The order is not of the customer that the credit note names."""

    title = "The order is of another customer"
    meaning = "The credit note names an order, and another customer than the order has."
    remedy = "Name the customer of the order, as `facts.sold_to` has it, or none; or correct the order."

    order_id: OrderId
    sold_to: CustomerId | None
    credited_to: CustomerId

    def __str__(self) -> str:
        buyer = "no customer" if self.sold_to is None else f"customer '{self.sold_to}'"
        return f"Order '{self.order_id}' is of {buyer}; customer '{self.credited_to}' is not credited on it."


@dataclass(kw_only=True, eq=False)
class CreditedInAnotherCountry(Conflict):
    """The order was not sold in the country of the credit note."""

    title = "The order was sold in another country"
    meaning = "The credit note names an order, and has another country than the order."
    remedy = "Credit the order in its own country, which `facts.sold_in` names; or correct the order."

    order_id: OrderId
    sold_in: str
    credited_in: str

    def __str__(self) -> str:
        return (
            f"Order '{self.order_id}' was sold in {self.sold_in}; it is not credited in {self.credited_in}."
        )


@dataclass(kw_only=True, eq=False)
class MoreCreditedThanShipped(Conflict):
    """Pieces that were not shipped with the order, or were credited before."""

    title = "More pieces would be credited than were shipped"
    meaning = (
        "The credit note names an order, and that order did not ship so many pieces, or they were credited before:"
        " `facts.excess` says of which SKUs, and how many were shipped and credited so far."
    )
    remedy = "Correct the quantities. An order that has not been shipped is cancelled instead."

    order_id: OrderId
    excess: tuple[Excess, ...]

    def __str__(self) -> str:
        skus = ", ".join(f"'{excess.sku}'" for excess in self.excess)
        return f"More pieces would be credited on order '{self.order_id}' than were shipped with it: {skus}."


def evolve(_note: CreditNote | None, event: Event) -> CreditNote:
    """Return the credit note as it is after `event`."""
    match event:
        case CreditNoteIssued():
            return CreditNote(event.credit_note_id, event.currency, event.total)
    raise AssertionError(f"{type(event).__name__} is no event of a credit note")


CREDIT_NOTE: Final[Aggregate[CreditNote]] = Aggregate(
    "credit_note", evolve, (CreditNoteIssued,), cached=False
)
"""Not cached: nothing is decided on one twice."""


def issue(
    note: CreditNote | None,
    *,
    credit_note_id: CreditNoteId,
    against: NamedOrder | None,
    customer_id: CustomerId | None,
    issued_at: datetime,
    country: str,
    currency: Currency,
    lines: Sequence[LineRequest],
) -> list[Event]:
    """Give money back for the lines, at the prices given; without an order they are compared with nothing.

    The customer of a note that names an order and no customer is the order's.

    Raises:
        CreditNoteIdTaken: there is a credit note with this id.
        OrderUnknown, CreditedInAnotherCurrency, CreditedToAnotherCustomer, CreditedInAnotherCountry,
            MoreCreditedThanShipped: the order named does not cover it.
        LineCountOutOfRange, QuantityOutOfRange, MalformedUnitPrice, UnknownCurrency, AmountTooLarge: the
            lines cannot be credited as they stand.
    """
    if note is not None:
        raise CreditNoteIdTaken(credit_note_id=credit_note_id)
    lines_credited = priced(lines, line=CreditLine, currency=currency)
    skus = per_sku(lines_credited)
    if against is not None:
        order = _same_sale(against, customer_id=customer_id, country=country, currency=currency)
        _require_covered(order, against.credited, skus)
        customer_id = order.customer_id
    return [
        CreditNoteIssued(
            credit_note_id=credit_note_id,
            order_id=None if against is None else against.order_id,
            customer_id=customer_id,
            issued_at=in_utc(issued_at),
            country=country,
            currency=currency,
            lines=lines_credited,
            skus=skus,
            units=sum(line.quantity for line in lines_credited),
            total=grand_total(lines_credited, currency=currency),
        )
    ]


def credited(so_far: Credited, note: CreditNoteIssued) -> Credited:
    """Return what is credited on an order after one more note: the fold over the notes that carry its tag."""
    return {**so_far, **{each.sku: so_far.get(each.sku, 0) + each.units for each in note.skus}}


def _same_sale(
    against: NamedOrder, *, customer_id: CustomerId | None, country: str, currency: Currency
) -> Order:
    order = against.order
    if order is None:
        raise OrderUnknown(order_id=against.order_id)
    if order.currency != currency:
        raise CreditedInAnotherCurrency(order_id=order.order_id, sold_in=order.currency, credited_in=currency)
    # Sums are kept by customer and by country: what is sold to one would be taken off another's.
    if customer_id is not None and order.customer_id != customer_id:
        raise CreditedToAnotherCustomer(
            order_id=order.order_id, sold_to=order.customer_id, credited_to=customer_id
        )
    if order.country != country:
        raise CreditedInAnotherCountry(order_id=order.order_id, sold_in=order.country, credited_in=country)
    return order


def _require_covered(order: Order, credited: Credited, skus: Sequence[SkuTotal]) -> None:
    shipped = {each.sku: each.units for each in order.skus} if order.status is Status.SHIPPED else {}
    amounts = [
        Excess(each.sku, each.units, shipped.get(each.sku, 0), credited.get(each.sku, 0)) for each in skus
    ]
    excess = tuple(each for each in amounts if each.requested > each.shipped - each.credited)
    if excess:
        raise MoreCreditedThanShipped(order_id=order.order_id, excess=excess)
