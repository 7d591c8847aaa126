"""The forms in which the data set is passed on, each by the name that `--format` takes."""

from enum import StrEnum
from typing import Final, NamedTuple

CURRENCY: Final = "GBP"
"""The data set's prices are in pounds."""


class Columns(NamedTuple):
    """The header, column by column: one table of eight columns under two sets of names."""

    invoice: str
    sku: str
    description: str
    quantity: str
    date: str
    price: str
    customer: str
    country: str


ONLINE_RETAIL = Columns(
    "InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country"
)
ONLINE_RETAIL_II = Columns(
    "Invoice", "StockCode", "Description", "Quantity", "InvoiceDate", "Price", "Customer ID", "Country"
)


class Format(StrEnum):
    """What a file is. It is named, never guessed: 1/12/2010 is a day in both ways to read it."""

    CSV = "csv"
    CSV_MONTH_FIRST = "csv-month-first"
    WORKBOOK = "workbook"
    RETAIL_II_CSV = "retail-ii-csv"
    RETAIL_II_WORKBOOK = "retail-ii-workbook"

    @property
    def columns(self) -> Columns:
        """The header that the file must have."""
        return ONLINE_RETAIL_II if self.startswith("retail-ii") else ONLINE_RETAIL

    @property
    def is_workbook(self) -> bool:
        """Whether it is an .xlsx file."""
        return self.endswith("workbook")

    @property
    def is_month_first(self) -> bool:
        """Whether dates are M/D/YYYY H:MM in ISO-8859-1; else YYYY-MM-DD HH:MM:SS in UTF-8."""
        return self is Format.CSV_MONTH_FIRST

    @property
    def encoding(self) -> str:
        """Of the text of a CSV file."""
        return "iso-8859-1" if self.is_month_first else "utf-8"
