"""Reads one sheet of an .xlsx workbook record by record, each cell as the text that a CSV file would hold.

openpyxl is an extra (`counterfoil[excel]`): it is imported when a workbook is read, and by nothing else.
"""

import zipfile
import zlib
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree.ElementTree import ParseError  # nosec B405 - an error class, which parses nothing

from examples.online_retail.csv_records import Record
from examples.online_retail.errors import BadFile, NoWorkbookReader

_HALF_A_SECOND = timedelta(milliseconds=500)

# What openpyxl lets through when a workbook is no workbook, or not whole.
_Broken = (zipfile.BadZipFile, zlib.error, EOFError, ParseError, KeyError, ValueError, OSError)


def records(path: Path, *, sheet: str | None, width: int) -> Iterator[Record]:
    """Yield the header and every record behind it; empty records at the end are left out.

    Args:
        path: the workbook.
        sheet: name of the sheet; may be left out when there is one only.
        width: columns of the table. Cells to the right of them must be empty.

    Raises:
        BadFile: the file is no workbook, broken, has no such sheet, or an empty record in its middle.
        NoWorkbookReader: openpyxl is not installed.
    """
    openpyxl = _openpyxl()
    row = 1
    try:
        with path.open("rb") as source:
            book = openpyxl.load_workbook(source, read_only=True, data_only=True)
            for row, fields in _filled(path, _chosen(path, book, sheet).iter_rows(values_only=True), width):
                yield Record(row, fields)
    except _Broken as error:
        reason = f"the workbook is broken or none at all ({type(error).__name__}: {error})"
        raise BadFile(path, row=row, reason=reason) from error


def _openpyxl() -> ModuleType:
    try:
        import openpyxl
    except ImportError as error:
        raise NoWorkbookReader from error
    module: ModuleType = openpyxl
    return module


def _chosen(path: Path, book: Any, sheet: str | None) -> Any:
    names = [one.title for one in book.worksheets]
    if sheet is None and len(names) == 1:
        return book.worksheets[0]
    if sheet not in names:
        listed = ", ".join(f"'{name}'" for name in names)
        reason = f"name a sheet with --sheet: {listed}" if sheet is None else f"no sheet '{sheet}': {listed}"
        raise BadFile(path, row=1, reason=reason)
    return book[sheet]


def _filled(path: Path, rows: Iterable[tuple[Any, ...]], width: int) -> Iterator[tuple[int, list[str]]]:
    """Rows that hold something, as texts."""
    empty: int | None = None
    for row, cells in enumerate(rows, start=1):
        fields = [_text(cell) for cell in cells]
        fields += [""] * (width - len(fields))
        if not any(map(str.strip, fields)):
            empty = empty or row
        elif empty is not None:
            raise BadFile(path, row=empty, reason="the row is empty, and others follow")
        elif any(fields[width:]):
            raise BadFile(path, row=row, reason=f"there is something to the right of column {width}")
        else:
            yield row, fields[:width]


def _text(cell: object) -> str:
    """The cell as a CSV file would hold it: 17850.0 is 17850, and a moment ends at the second."""
    match cell:
        case None:
            return ""
        case float():
            # Spreadsheets know only one kind of number. The shortest text of this one is what was typed.
            return str(int(cell)) if cell.is_integer() else format(Decimal(repr(cell)), "f")
        case datetime():
            return f"{(cell + _HALF_A_SECOND).replace(microsecond=0)}"
    return str(cell)
