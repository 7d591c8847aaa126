"""What the lines of an online-retail file become: products, orders, credit notes, adjustments, refusals.

Pure functions: lines in, plan out. Sending the plan is the business of `online_retail`.
"""

import re
from collections import Counter
from collections.abc import Container, Iterable, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from domain.money import AmountTooLarge, Currency, within_limit
from domain.ordering.lines import LINES_MAX, LineCountOutOfRange
from examples.online_retail import retail_line
from examples.online_retail.formats import CURRENCY, ONLINE_RETAIL, Columns
from examples.online_retail.retail_line import Refusal, RetailLine

PRICES_CACHED_MAX = 65_536

_BREAKS = re.compile(r"[\t\r\n]+")
_STOCKED = re.compile(r"[0-9]{5}", re.ASCII)


class Product(NamedTuple):
    """An SKU to create. Title and price come from lines that sell or are credited, and from no others."""

    sku: str
    title: str
    stocked: bool
    list_price: str | None


class InvoiceLine(NamedTuple):
    """One line of an order or of a credit note; the quantity is positive in both."""

    row: int
    sku: str
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
    """A line that moves stock without selling it.

    Invoice, SKU and delta say which line it is, in this file and in every other that holds it; `ordinal` tells equal
    ones of a file apart.
    """

    row: int
    invoice: str
    sku: str
    delta: int
    note: str
    ordinal: int


class Plan(NamedTuple):
    """Everything one file asks for. Lists are in the order of the rows they begin with."""

    products: list[Product]
    orders: list[Order]
    credit_notes: list[CreditNote]
    adjustments: list[Adjustment]
    refusals: list[Refusal]


def plan(entries: Iterable[RetailLine | Refusal], *, columns: Columns = ONLINE_RETAIL) -> Plan:
    """Map a whole file. An invoice need not be contiguous, so nothing can be decided before the last line."""
    invoices: dict[str, list[RetailLine]] = {}
    mapping = _Mapping(columns)
    for entry in entries:
        if isinstance(entry, Refusal):
            mapping.refusals.append(entry)
        else:
            invoices.setdefault(entry.invoice, []).append(entry)
    while invoices:  # emptied while mapping, so lines and plan are never held both in full
        invoice = next(iter(invoices))
        mapping.add(invoices.pop(invoice))
    return mapping.plan()


def opening_stock(planned: Plan, *, held: Container[str]) -> dict[str, int]:
    """Pieces of each stocked SKU that the orders take; nothing for orders that the shop holds already."""
    units: Counter[str] = Counter()
    for order in planned.orders:
        if order.order_id not in held:
            for line in order.lines:
                if is_stocked(line.sku):
                    units[line.sku] += line.quantity
    return dict(units)


def is_stocked(sku: str) -> bool:
    """An SKU that starts with five digits is a thing on a shelf; every other one is a service."""
    return _STOCKED.match(sku) is not None


@lru_cache(maxsize=PRICES_CACHED_MAX)
def amount(unit_price: str) -> Decimal:
    """The number behind a decimal text; the few hundred different prices of a file repeat all the time."""
    return Decimal(unit_price)


class _Mapping:
    """A plan in the making, invoice by invoice."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self._catalogue = _Catalogue()
        self._orders: list[Order] = []
        self._credit_notes: list[CreditNote] = []
        self._adjusting: list[RetailLine] = []
        self.refusals: list[Refusal] = []

    def add(self, lines: list[RetailLine]) -> None:
        if lines[0].invoice.startswith("C"):
            self._map_credit(lines)
        else:
            self._map_sale(lines)

    def plan(self) -> Plan:
        return Plan(
            self._catalogue.products(),
            self._orders,
            self._credit_notes,
            _adjustments(self._adjusting),
            sorted(self.refusals),
        )

    def _map_sale(self, lines: list[RetailLine]) -> None:
        sells = any(line.quantity > 0 and amount(line.unit_price) > 0 for line in lines)
        sold = [line for line in lines if sells and line.quantity > 0]
        for line in lines:
            if not (sells and line.quantity > 0):
                self._map_adjustment(line)
        if sold and self._makes_a_document(sold):
            first = sold[0]
            placed_at = min(line.invoiced_at for line in lines)
            self._orders.append(
                Order(first.invoice, _customer(sold), placed_at, first.country, self._document_lines(sold))
            )

    def _map_adjustment(self, line: RetailLine) -> None:
        if not is_stocked(line.sku):
            self._refuse(line, self._columns.sku, "Nothing is sold, and the SKU has no stock to adjust")
        elif line.quantity == 0:
            self._refuse(line, self._columns.quantity, "Zero, so there is nothing to adjust")
        else:
            self._adjusting.append(line)
            self._catalogue.saw(line)

    def _map_credit(self, lines: list[RetailLine]) -> None:
        credited = [line for line in lines if line.quantity < 0]
        for line in lines:
            if line.quantity >= 0:
                self._refuse(line, self._columns.quantity, "Of a credit note, and not negative")
        if credited and self._makes_a_document(credited):
            first = credited[0]
            issued_at = min(line.invoiced_at for line in lines)
            self._credit_notes.append(
                CreditNote(
                    first.invoice,
                    _customer(credited),
                    issued_at,
                    first.country,
                    self._document_lines(credited),
                )
            )

    def _makes_a_document(self, lines: Sequence[RetailLine]) -> bool:
        """Whether these can be one order or credit note; if not, all of them are refused."""
        column, reason = self._why_no_document(lines)
        for line in lines if reason else ():
            self._refuse(line, column, reason)
        return not reason

    def _why_no_document(self, lines: Sequence[RetailLine]) -> tuple[str, str]:
        customers = {line.customer for line in lines} - {""}
        if len(customers) > 1:
            return self._columns.customer, f"The invoice names {_listed(customers)}"
        countries = {line.country for line in lines}
        if len(countries) > 1:
            return self._columns.country, f"The invoice names {_listed(countries)}"
        if len(lines) > LINES_MAX:
            return self._columns.invoice, str(LineCountOutOfRange(lines=len(lines))).rstrip(".")
        try:
            within_limit(sum(map(retail_line.total, lines)), currency=Currency(CURRENCY))
        except AmountTooLarge as error:
            return self._columns.price, str(error).rstrip(".")
        return "", ""

    def _document_lines(self, lines: Sequence[RetailLine]) -> tuple[InvoiceLine, ...]:
        for line in lines:
            self._catalogue.learned(line)
        return tuple(InvoiceLine(line.row, line.sku, abs(line.quantity), line.unit_price) for line in lines)

    def _refuse(self, line: RetailLine, column: str, reason: str) -> None:
        self.refusals.append(Refusal(line.row, column, reason))


class _Catalogue:
    """What the lines say of each SKU. Invoices come one by one, so a first line is known by its row."""

    def __init__(self) -> None:
        self._rows: dict[str, int] = {}
        self._titles: dict[str, tuple[int, str]] = {}
        self._prices: dict[str, tuple[int, str]] = {}

    def saw(self, line: RetailLine) -> None:
        """The line moves stock: there must be a product, and the line says nothing of title and price."""
        if line.row < self._rows.get(line.sku, line.row + 1):
            self._rows[line.sku] = line.row

    def learned(self, line: RetailLine) -> None:
        """The line sells the SKU, or takes it back."""
        self.saw(line)
        if line.row < self._titles.get(line.sku, (line.row + 1,))[0] and (title := _title(line)):
            self._titles[line.sku] = line.row, title
        if line.row < self._prices.get(line.sku, (line.row + 1,))[0] and amount(line.unit_price) > 0:
            self._prices[line.sku] = line.row, line.unit_price

    def products(self) -> list[Product]:
        return [
            Product(
                sku=sku,
                title=self._titles.get(sku, (0, sku))[1],
                stocked=is_stocked(sku),
                list_price=self._prices.get(sku, (0, None))[1],
            )
            for sku in sorted(self._rows, key=self._rows.__getitem__)
        ]


def _adjustments(lines: list[RetailLine]) -> list[Adjustment]:
    counted: Counter[tuple[str, str, int]] = Counter()
    adjustments = []
    for line in sorted(lines):
        of_kind = (line.invoice, line.sku, line.quantity)
        counted[of_kind] += 1
        adjustments.append(Adjustment(line.row, *of_kind, line.description, counted[of_kind]))
    return adjustments


def _title(line: RetailLine) -> str:
    """The description as one line: a note may have several, a title may not."""
    return _BREAKS.sub(" ", line.description).strip()


def _customer(lines: Iterable[RetailLine]) -> str | None:
    return next((line.customer for line in lines if line.customer), None)


def _listed(names: Iterable[str]) -> str:
    return " and ".join(sorted(names)[:3])
