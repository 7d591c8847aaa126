"""Reads an online-retail file in any of its forms, line by line; refuses what is not one from header to last row."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from examples.online_retail import csv_records, workbook
from examples.online_retail.csv_records import Record
from examples.online_retail.errors import BadFile
from examples.online_retail.formats import Format
from examples.online_retail.retail_line import Reader, Refusal, RetailLine, WrongForm

DIGEST_CHUNK_BYTES = 1 << 20


def file_digest(path: Path, *, sheet: str | None = None) -> str:
    """SHA-256 of the file's bytes, and of the sheet's name if one is chosen, as 64 hex digits.

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
    if sheet is not None:
        digest.update(sheet.encode())
    return digest.hexdigest()


def read_lines(
    path: Path, *, form: Format = Format.CSV, sheet: str | None = None
) -> Iterator[RetailLine | Refusal]:
    """Yield every line of the file in order, or why it cannot become anything.

    Raises:
        BadFile: wrong header, broken or cut-off file, text in another encoding, a number that is none, or a date in
            another form.
        NoWorkbookReader: the file is a workbook, and openpyxl is not installed.
    """
    records = _records(path, form, sheet)
    _check_header(path, next(records, Record(1, [])).fields, form)
    reader = Reader(form)
    row = 1
    try:
        for row, fields in records:
            yield reader.read(row, fields)
    except WrongForm as error:
        raise BadFile(path, row=row, reason=str(error)) from None
    if row == 1:
        raise BadFile(path, row=2, reason="the file ends after its header; there is nothing to import")


def _records(path: Path, form: Format, sheet: str | None) -> Iterator[Record]:
    if form.is_workbook:
        return workbook.records(path, sheet=sheet, width=len(form.columns))
    if sheet is not None:
        raise BadFile(path, row=1, reason="a CSV file has no sheets; a workbook needs its own --format")
    return csv_records.records(path, encoding=form.encoding)


def _check_header(path: Path, found: list[str], form: Format) -> None:
    if tuple(found) == form.columns:
        return
    shown = ",".join(found)[:200] or "nothing"
    others = (other for other in Format if other.is_workbook == form.is_workbook)
    fitting = next((f"; that is --format {other}" for other in others if tuple(found) == other.columns), "")
    raise BadFile(path, row=1, reason=f"the header must be {','.join(form.columns)}; found {shown}{fitting}")
