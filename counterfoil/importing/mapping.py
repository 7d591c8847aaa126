"""What the lines of an online-retail file become: products, stock, orders, credit notes, refusals.

Pure functions: lines in, plan out. Sending the plan is the business of `online_retail`.
"""

import itertools
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from counterfoil.importing.retail_file import RetailLine

CURRENCY = "GBP"
PRICES_CACHED_MAX = 65_536

_ORDER = re.compile(r"[0-9]+", re.ASCII)
_CREDIT_NOTE = re.compile(r"C[0-9]+", re.ASCII)
_STOCKED = re.compile(r"[0-9]{5}", re.ASCII)


class Product(NamedTuple):
    """A code to create, with the stock it must hold before anything is sold."""

    row: int  # the first row that was not refused
    code: str
    title: str
    stocked: bool
    list_price: str | None
    opening_units: int


class InvoiceLine(NamedTuple):
    """One line of an order or of a credit note; the quantity is positive in both."""

    row: int
    code: str
    quantity: int
    unit_price: str


class Order(NamedTuple):
    """One invoice that sells."""

    order_id: str
    customer: str | None
    placed_at: str
    country: str
    lines: tuple[InvoiceLine, ...]


class CreditNote(NamedTuple):
    """One invoice that takes back."""

    credit_note_id: str
    customer: str | None
    issued_at: str
    country: str
    lines: tuple[InvoiceLine, ...]


class Adjustment(NamedTuple):
    """A line that moves stock without selling it."""

    row: int
    code: str
    delta: int
    note: str


class Refusal(NamedTuple):
    """A line of the file that became nothing, and why."""

    row: int
    reason: str


class Plan(NamedTuple):
    """Everything one file asks for. Lists are in the order of the rows they begin with."""

    products: list[Product]
    orders: list[Order]
    credit_notes: list[CreditNote]
    adjustments: list[Adjustment]
    refusals: list[Refusal]


def plan(lines: Iterable[RetailLine]) -> Plan:
    """Map a whole file. An invoice need not be contiguous, so nothing can be decided before the last line."""
    invoices: dict[str, list[RetailLine]] = {}
    titles: dict[str, str] = {}
    prices: dict[str, str] = {}
    for line in lines:
        invoices.setdefault(line.invoice, []).append(line)
        if line.code not in titles and (title := line.description.strip()):
            titles[line.code] = title
        if line.code not in prices and amount(line.unit_price) > 0:
            prices[line.code] = line.unit_price
    planned = Plan([], [], [], [], [])
    while invoices:  # emptied while mapping, so lines and plan are never held both in full
        invoice = next(iter(invoices))
        _map_invoice(planned, invoices.pop(invoice))
    planned.adjustments.sort()
    planned.refusals.sort()
    planned.products.extend(_products(planned, titles=titles, prices=prices))
    return planned


def _map_invoice(planned: Plan, lines: list[RetailLine]) -> None:
    invoice = lines[0].invoice
    if _ORDER.fullmatch(invoice):
        _map_sale(planned, lines)
    elif _CREDIT_NOTE.fullmatch(invoice):
        _map_credit(planned, lines)
    else:
        reason = "InvoiceNo is neither digits nor C and digits"
        planned.refusals.extend(Refusal(line.row, reason) for line in lines)


def _map_sale(planned: Plan, lines: list[RetailLine]) -> None:
    sells = any(line.quantity > 0 and amount(line.unit_price) > 0 for line in lines)
    sold: list[RetailLine] = []
    for line in lines:
        if sells and line.quantity > 0 and amount(line.unit_price) >= 0:
            sold.append(line)
        elif reason := _why_not_adjustment(line):
            planned.refusals.append(Refusal(line.row, reason))
        else:
            planned.adjustments.append(Adjustment(line.row, line.code, line.quantity, line.description))
    if sold:
        planned.orders.append(
            Order(
                order_id=sold[0].invoice,
                customer=_customer(sold),
                placed_at=min(line.invoiced_at for line in lines),
                country=sold[0].country,
                lines=tuple(
                    InvoiceLine(line.row, line.code, line.quantity, line.unit_price) for line in sold
                ),
            )
        )


def _why_not_adjustment(line: RetailLine) -> str | None:
    if amount(line.unit_price) < 0:
        return "UnitPrice is negative"
    if not is_stocked(line.code):
        return "nothing is sold, and the code has no stock to adjust"
    if line.quantity == 0:
        return "Quantity is zero, so there is nothing to adjust"
    return None


def _map_credit(planned: Plan, lines: list[RetailLine]) -> None:
    credited: list[RetailLine] = []
    for line in lines:
        if line.quantity >= 0:
            planned.refusals.append(Refusal(line.row, "Quantity of a credit note line is not negative"))
        elif amount(line.unit_price) < 0:
            planned.refusals.append(Refusal(line.row, "UnitPrice is negative"))
        else:
            credited.append(line)
    if credited:
        planned.credit_notes.append(
            CreditNote(
                credit_note_id=credited[0].invoice,
                customer=_customer(credited),
                issued_at=min(line.invoiced_at for line in lines),
                country=credited[0].country,
                lines=tuple(
                    InvoiceLine(line.row, line.code, -line.quantity, line.unit_price) for line in credited
                ),
            )
        )


def _customer(lines: list[RetailLine]) -> str | None:
    return next((line.customer for line in lines if line.customer), None)


def _products(planned: Plan, *, titles: Mapping[str, str], prices: Mapping[str, str]) -> list[Product]:
    first_rows: dict[str, int] = {}
    opening: dict[str, int] = {}
    lines_of_invoices = [order.lines for order in planned.orders] + [
        note.lines for note in planned.credit_notes
    ]
    for line in itertools.chain.from_iterable(lines_of_invoices):
        first_rows[line.code] = min(line.row, first_rows.get(line.code, line.row))
    for order in planned.orders:
        for line in order.lines:
            opening[line.code] = opening.get(line.code, 0) + line.quantity
    for adjustment in planned.adjustments:
        code = adjustment.code
        first_rows[code] = min(adjustment.row, first_rows.get(code, adjustment.row))
        opening[code] = opening.get(code, 0) + max(0, -adjustment.delta)
    return [
        Product(
            row=row,
            code=code,
            title=titles.get(code, code),
            stocked=is_stocked(code),
            list_price=prices.get(code),
            opening_units=opening.get(code, 0) if is_stocked(code) else 0,
        )
        for code, row in sorted(first_rows.items(), key=lambda item: item[1])
    ]


def is_stocked(code: str) -> bool:
    """A code that starts with five digits is a thing on a shelf; every other one is a service."""
    return _STOCKED.match(code) is not None


@lru_cache(maxsize=PRICES_CACHED_MAX)
def amount(unit_price: str) -> Decimal:
    """The number behind a decimal text; the few hundred different prices of a file repeat all the time."""
    return Decimal(unit_price)
