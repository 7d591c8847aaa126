"""The workbook in which the data set is published: cells of several kinds, sheets, and files that are none."""

import subprocess
import sys
from datetime import datetime

import openpyxl
import pytest

from examples.online_retail.errors import BadFile, NoWorkbookReader
from examples.online_retail.formats import ONLINE_RETAIL, ONLINE_RETAIL_II, Format
from examples.online_retail.retail_file import read_lines
from examples.online_retail.retail_line import Refusal, RetailLine

MORNING = datetime(2010, 12, 1, 8, 26)  # noqa: DTZ001 - a spreadsheet's cells know no zone
ROW = (536365, "85123A", "WHITE HEART", 6, MORNING, 2.55, 17850, "United Kingdom")
LINE = RetailLine(
    2, "536365", "85123A", "WHITE HEART", 6, "2010-12-01T08:26:00Z", "2.55", "17850", "United Kingdom"
)


@pytest.fixture
def book(tmp_path):
    def write(*rows, header=ONLINE_RETAIL, sheets=("Online Retail",)):
        made = openpyxl.Workbook()
        made.remove(made.active)
        for name in sheets:
            sheet = made.create_sheet(name)
            for row in (header, *rows):
                sheet.append(row)
        path = tmp_path / "retail.xlsx"
        made.save(path)
        return path

    return write


def read(path, form=Format.WORKBOOK, **how):
    return list(read_lines(path, form=form, **how))


def test_a_line_of_a_workbook_is_the_one_of_the_csv_file(book):
    assert read(book(ROW)) == [LINE]


def test_the_second_edition_is_a_workbook_too(book):
    assert read(book(ROW, header=ONLINE_RETAIL_II), Format.RETAIL_II_WORKBOOK) == [LINE]


@pytest.mark.parametrize(
    ("column", "cell", "text"),
    [
        ("invoice", "C536379", "C536379"),
        ("invoice", 536365.0, "536365"),
        ("sku", 71053, "71053"),
        ("sku", 71053.0, "71053"),
        ("description", None, ""),
        ("description", 20713, "20713"),
        ("quantity", 6.0, 6),
        ("unit_price", 18, "18"),
        ("unit_price", 0.00001, "0.00001"),
        ("unit_price", 4161.06, "4161.06"),
        ("customer", 17850.0, "17850"),
        ("customer", "17850", "17850"),
        ("customer", None, ""),
        ("invoiced_at", datetime(2011, 1, 31, 18, 5, 59, 999_600), "2011-01-31T18:06:00Z"),  # noqa: DTZ001
    ],
)
def test_a_cell_is_read_as_what_was_typed(book, column, cell, text):
    position = RetailLine._fields.index(column) - 1
    (line,) = read(book((*ROW[:position], cell, *ROW[position + 1 :])))

    assert getattr(line, column) == text


def test_a_cell_that_the_shop_would_not_take_is_refused_by_row_and_column(book):
    (refused,) = read(book((*ROW[:6], 17850.5, ROW[7])))

    assert refused == Refusal(2, "CustomerID", "Neither digits nor empty: '17850.5'")


def test_empty_rows_at_the_end_are_left_out_and_cells_to_the_right_may_be_empty(book):
    assert read(book((*ROW, None, ""), (None,) * 8, ("", " "))) == [LINE]


BAD_SHEETS = {
    "header of the other edition": ([ROW], {"header": ONLINE_RETAIL_II}, 1, "--format retail-ii-workbook"),
    "nothing below the header": ([], {}, 2, "nothing to import"),
    "empty row in the middle": ([ROW, (None,) * 8, ROW], {}, 3, "the row is empty, and others follow"),
    "a column too many": ([ROW, (*ROW, "x")], {}, 3, "to the right of column 8"),
    "a date as text": ([ROW, (*ROW[:4], "12/1/2010 8:26", *ROW[5:])], {}, 3, "InvoiceDate is not"),
    "a date as a number": ([(*ROW[:4], 40513.35, *ROW[5:])], {}, 2, "InvoiceDate is not"),
    "a truth for a price": ([(*ROW[:5], True, *ROW[6:])], {}, 2, "UnitPrice is not"),
}


@pytest.mark.parametrize(("rows", "how", "row", "words"), BAD_SHEETS.values(), ids=BAD_SHEETS.keys())
def test_a_bad_sheet_is_refused_with_row_and_reason(book, rows, how, row, words):
    with pytest.raises(BadFile) as refused:
        read(book(*rows, **how))

    assert refused.value.row == row
    assert words in refused.value.reason


def test_of_several_sheets_one_is_named(book):
    path = book(ROW, sheets=("Year 2009-2010", "Year 2010-2011"))

    assert read(path, sheet="Year 2010-2011") == [LINE]
    with pytest.raises(BadFile, match="name a sheet with --sheet: 'Year 2009-2010', 'Year 2010-2011'"):
        read(path)
    with pytest.raises(BadFile, match="no sheet 'Year 2012': 'Year 2009-2010'"):
        read(path, sheet="Year 2012")


@pytest.mark.parametrize("part", [0, 10, 0.5, 0.99])
def test_a_workbook_that_is_cut_off_or_none_at_all_is_refused(book, part):
    path = book(*[ROW] * 500)
    whole = path.read_bytes()
    path.write_bytes(whole[: part if part > 1 else int(len(whole) * part)])

    with pytest.raises(BadFile, match="broken or none at all"):
        read(path)


def test_a_workbook_with_a_flipped_byte_is_refused(book):
    path = book(*[(536365 + number, *ROW[1:]) for number in range(2_000)])
    content = bytearray(path.read_bytes())
    middle = content.index(b"xl/worksheets/sheet1.xml") + 2_000
    content[middle : middle + 8] = b"\xff" * 8
    path.write_bytes(content)

    with pytest.raises(BadFile, match="broken or none at all"):
        read(path)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(BadFile, match="broken or none at all"):
        read(tmp_path / "missing.xlsx")


def test_without_the_extra_a_workbook_is_refused_with_the_remedy(book, monkeypatch):
    path = book(ROW)
    monkeypatch.setitem(sys.modules, "openpyxl", None)

    with pytest.raises(NoWorkbookReader, match=r"counterfoil\[excel\]"):
        read(path)


def test_nothing_but_a_workbook_needs_the_extra():
    program = """
import sys
from examples.online_retail import cli
print("openpyxl" in sys.modules)
"""
    printed = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=300
    ).stdout

    assert printed.strip() == "False"
