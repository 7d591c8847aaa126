"""One line of the table: its values, and why one of them cannot be taken.

Every value is judged by the rules of the domain and of the command API's payloads, so that a line which passes is
refused by the shop only for what the shop holds already.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Generic, NamedTuple, TypeVar

from pydantic import TypeAdapter, ValidationError

from commands import payloads
from domain.ids import validate_id
from domain.money import AmountTooLarge, Currency, UnitPrice, line_total, validate_unit_price, within_limit
from domain.quantity import QUANTITY_MAX, validate_quantity
from domain.rejection import Rejection
from examples.online_retail.formats import CURRENCY, Format

SHOWN_CHARACTERS_MAX = 80
QUANTITY_DIGITS_MAX = 18

_INVOICE = re.compile(r"C?[0-9]+", re.ASCII)
_CUSTOMER = re.compile(r"[0-9]*", re.ASCII)
_QUANTITY = re.compile(r"-?[0-9]+", re.ASCII)
_UNIT_PRICE = re.compile(r"-?[0-9]+(\.[0-9]+)?", re.ASCII)
_ISO_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2}) ([0-9]{2}):([0-9]{2}):([0-9]{2})", re.ASCII)
_MONTH_FIRST_DATE = re.compile(r"([0-9]{1,2})/([0-9]{1,2})/([0-9]{4}) ([0-9]{1,2}):([0-9]{2})", re.ASCII)

_is_note = TypeAdapter(payloads.Note).validate_python
_is_country = TypeAdapter(payloads.Country).validate_python
_is_moment = TypeAdapter(payloads.Moment).validate_python

T = TypeVar("T")


class RetailLine(NamedTuple):
    """One invoice line whose every value the shop would take."""

    row: int  # as a spreadsheet counts: the header is row 1
    invoice: str  # digits, or C and digits
    sku: str
    description: str
    quantity: int
    invoiced_at: str  # RFC 3339, UTC, so that text order is time order
    unit_price: str  # decimal text as written
    customer: str  # empty when the file has none
    country: str


def total(line: RetailLine) -> int:
    """Pence of the line, without regard to whether it sells or takes back."""
    return line_total(abs(line.quantity), unit_price=UnitPrice(line.unit_price), currency=Currency(CURRENCY))


class Refusal(NamedTuple):
    """A line that became nothing, and why. Without a column it is the line as a whole, or what the shop said."""

    row: int
    column: str
    reason: str


class WrongForm(Exception):
    """The text is not of the kind that its column holds: the file is not what it was said to be."""


class Reader:
    """Turns the fields of a row into a line or its refusal. Equal texts are judged once and become one object."""

    def __init__(self, form: Format) -> None:
        columns = self._names = form.columns
        self._invoice = _Column(columns.invoice, _invoice)
        self._sku = _Column(columns.sku, validate_id)
        self._description = _Column(columns.description, _is_note)
        self._quantity = _Column(columns.quantity, _quantity)
        self._date = _Column(columns.date, _month_first_date if form.is_month_first else _iso_date)
        self._unit_price = _Column(columns.price, _unit_price)
        self._customer = _Column(columns.customer, _customer)
        self._country = _Column(columns.country, _is_country)

    def read(self, row: int, fields: list[str]) -> RetailLine | Refusal:
        """The line, or its first column whose value the shop would not take.

        Raises:
            WrongForm: a number is no number, or a date is none in the form that the file was said to have.
        """
        invoice, sku, description, quantity, date, unit_price, customer, country = fields
        try:
            line = RetailLine(
                row,
                self._invoice(invoice),
                self._sku(sku),
                self._description(description),
                self._quantity(quantity),
                self._date(date),
                self._unit_price(unit_price),
                self._customer(customer),
                self._country(country),
            )
            within_limit(total(line), currency=Currency(CURRENCY))
        except _Refused as refused:
            return Refusal(row, refused.column, refused.reason)
        except AmountTooLarge as refused:
            return Refusal(row, self._names.price, str(refused).rstrip("."))
        return line


class _Unusable(Exception):
    """The text is of the right kind, and yet no value."""


class _Refused(Exception):
    def __init__(self, column: str, reason: str) -> None:
        super().__init__(f"{column}: {reason}")
        self.column = column
        self.reason = reason


class _Column(Generic[T]):
    """One column: its name and the rule that turns a text into its value."""

    def __init__(self, name: str, rule: Callable[[str], T]) -> None:
        self._name = name
        self._rule = rule
        self._values: dict[str, T] = {}

    def __call__(self, text: str) -> T:
        try:
            return self._values[text]
        except KeyError:
            value = self._values[text] = self._judged(text)
            return value

    def _judged(self, text: str) -> T:
        shown = repr(text[:SHOWN_CHARACTERS_MAX])
        try:
            return self._rule(text)
        except WrongForm as error:
            raise WrongForm(f"{self._name} is not {error}: {shown}") from None
        except (_Unusable, Rejection) as error:
            reason = str(error).rstrip(".")
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
        raise _Refused(self._name, f"{reason}: {shown}")


def _invoice(text: str) -> str:
    if _INVOICE.fullmatch(text) is None:
        raise _Unusable("Neither digits nor C and digits")
    return validate_id(text)


def _customer(text: str) -> str:
    if _CUSTOMER.fullmatch(text) is None:
        raise _Unusable("Neither digits nor empty")
    return validate_id(text) if text else text


def _quantity(text: str) -> int:
    if _QUANTITY.fullmatch(text) is None:
        raise WrongForm("a whole number")
    pieces = int(text) if len(text) < QUANTITY_DIGITS_MAX else QUANTITY_MAX + 1
    if pieces:
        validate_quantity(abs(pieces))
    return pieces


def _unit_price(text: str) -> str:
    if _UNIT_PRICE.fullmatch(text) is None:
        raise WrongForm("a decimal number")
    return validate_unit_price(text)


def _iso_date(text: str) -> str:
    found = _ISO_DATE.fullmatch(text)
    if found is None:
        hint = "; month first is --format csv-month-first" if _MONTH_FIRST_DATE.fullmatch(text) else ""
        raise WrongForm(f"YYYY-MM-DD HH:MM:SS{hint}")
    year, month, day, hour, minute, second = map(int, found.groups())
    return _moment(year, month, day, hour=hour, minute=minute, second=second)


def _month_first_date(text: str) -> str:
    found = _MONTH_FIRST_DATE.fullmatch(text)
    if found is None:
        raise WrongForm("M/D/YYYY H:MM")
    month, day, year, hour, minute = map(int, found.groups())
    return _moment(year, month, day, hour=hour, minute=minute)


def _moment(year: int, month: int, day: int, *, hour: int, minute: int, second: int = 0) -> str:
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError as error:
        raise _Unusable(f"There is no such time ({error})") from None
    text = f"{moment:%Y-%m-%dT%H:%M:%SZ}"
    _is_moment(text)
    return text
