"""Reads an online-retail file, plain or gzip, row by row; refuses what is not one from header to last row."""

import csv
import gzip
import hashlib
import re
import zlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from counterfoil.importing.errors import BadFile

HEADER = (
    "InvoiceNo",
    "StockCode",
    "Description",
    "Quantity",
    "InvoiceDate",
    "UnitPrice",
    "CustomerID",
    "Country",
)
GZIP_MAGIC = b"\x1f\x8b"
LINE_BYTES_MAX = 65_536
DIGEST_CHUNK_BYTES = 1 << 20

_QUANTITY = re.compile(r"-?[0-9]{1,9}", re.ASCII)
_UNIT_PRICE = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,9})?", re.ASCII)
_INVOICE_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}", re.ASCII)


class RetailLine(NamedTuple):
    """One invoice line, values checked for form only."""

    row: int  # as a spreadsheet counts: the header is row 1
    invoice: str
    code: str
    description: str
    quantity: int
    invoiced_at: str  # RFC 3339, UTC, so that text order is time order
    unit_price: str  # decimal text as written, may be negative
    customer: str  # empty when the file has none
    country: str


def file_digest(path: Path) -> str:
    """SHA-256 of the file's bytes as 64 hex digits.

    Raises:
        BadFile: the file cannot be opened or read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as source:
            while chunk := source.read(DIGEST_CHUNK_BYTES):
                digest.update(chunk)
    except OSError as error:
        raise BadFile(path, row=1, reason=f"the file cannot be read ({error.strerror})") from error
    return digest.hexdigest()


def read_lines(path: Path) -> Iterator[RetailLine]:
    """Yield every line of the file in order, equal texts shared so that a whole file fits in little memory.

    Raises:
        BadFile: wrong header, broken or cut-off file, bytes that are not UTF-8, or a value of the wrong form.
    """
    row = 0
    try:
        with _opened(path) as source:
            text = _TextLines(source)
            rows = csv.reader(text, strict=True)
            row = 1
            _check_header(path, next(rows, []))
            parse = _Parser(path)
            for row, fields in enumerate(rows, start=2):
                if not text.ended_with_newline:
                    parse.check_unterminated(row, fields)
                yield parse.line(row, fields)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise BadFile(
            path, row=row + 1, reason=f"the gzip stream is broken or cut off here ({error})"
        ) from error
    except UnicodeDecodeError as error:
        raise BadFile(path, row=row + 1, reason="the text is not UTF-8") from error
    except csv.Error as error:
        raise BadFile(path, row=row + 1, reason=f"the row is not valid CSV, or cut off ({error})") from error
    except OSError as error:
        raise BadFile(path, row=row + 1, reason=f"the file cannot be read ({error})") from error
    if row == 1:
        raise BadFile(path, row=2, reason="the file ends after its header; there is nothing to import")


def _opened(path: Path) -> BinaryIO:
    with path.open("rb") as source:
        packed = source.read(len(GZIP_MAGIC)) == GZIP_MAGIC
    if not packed and path.name.endswith(".gz"):
        raise BadFile(path, row=1, reason="the name ends in .gz but the content is not gzip")
    return cast("BinaryIO", gzip.open(path)) if packed else path.open("rb")


class _TextLines:
    """Physical lines as text; remembers whether the newest one ended with a newline."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self.ended_with_newline = True

    def __iter__(self) -> Iterator[str]:
        while line := self._source.readline(LINE_BYTES_MAX):
            self.ended_with_newline = line.endswith(b"\n")
            if len(line) == LINE_BYTES_MAX and not self.ended_with_newline:
                raise csv.Error(f"a line is longer than {LINE_BYTES_MAX} bytes")
            yield line.decode("utf-8")


def _check_header(path: Path, found: list[str]) -> None:
    if tuple(found) != HEADER:
        shown = ",".join(found)[:200] or "nothing"
        raise BadFile(path, row=1, reason=f"the header must be {','.join(HEADER)}; found {shown}")


class _Parser:
    """Turns the fields of a row into a line; holds the texts already seen, so equal ones are one object."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._texts: dict[str, str] = {}
        self._times: dict[str, str] = {}
        self._countries: set[str] = set()

    def line(self, row: int, fields: list[str]) -> RetailLine:
        if len(fields) != len(HEADER):
            raise self._bad(
                row, f"{len(fields)} columns where {len(HEADER)} are expected; is the file cut off?"
            )
        invoice, code, description, quantity, date, price, customer, country = fields
        if not _QUANTITY.fullmatch(quantity):
            raise self._bad(row, f"Quantity is not a whole number: {quantity[:80]!r}")
        if not _UNIT_PRICE.fullmatch(price):
            raise self._bad(row, f"UnitPrice is not a decimal number: {price[:80]!r}")
        share = self._texts.setdefault
        self._countries.add(country)
        return RetailLine(
            row,
            share(invoice, invoice),
            share(code, code),
            share(description, description),
            int(quantity),
            self._times.get(date) or self._time(row, date),
            share(price, price),
            share(customer, customer),
            share(country, country),
        )

    def check_unterminated(self, row: int, fields: list[str]) -> None:
        """A last row without a newline is believed only if its last column is a country seen before.

        A file cut inside its last column would otherwise pass with half a country.
        """
        if len(fields) == len(HEADER) and fields[-1] not in self._countries:
            raise self._bad(row, "the file ends inside this row; end it with a newline if it is whole")

    def _time(self, row: int, text: str) -> str:
        try:
            time = datetime.fromisoformat(text) if _INVOICE_DATE.fullmatch(text) else None
        except ValueError:  # the right form, but no such day or hour
            time = None
        if time is None:
            raise self._bad(row, f"InvoiceDate is not YYYY-MM-DD HH:MM:SS: {text[:80]!r}")
        self._times[text] = f"{time.isoformat()}Z"
        return self._times[text]

    def _bad(self, row: int, reason: str) -> BadFile:
        return BadFile(self._path, row=row, reason=reason)
