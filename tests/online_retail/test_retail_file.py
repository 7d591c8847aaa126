import gzip

import pytest

from examples.online_retail.errors import BadFile
from examples.online_retail.formats import ONLINE_RETAIL, ONLINE_RETAIL_II, Format
from examples.online_retail.retail_file import file_digest, read_lines
from examples.online_retail.retail_line import Refusal, RetailLine

HEAD = ",".join(ONLINE_RETAIL) + "\n"
HEAD_II = ",".join(ONLINE_RETAIL_II) + "\n"
ROW = "536365,85123A,WHITE HEART,6,2010-12-01 08:26:00,2.55,17850,United Kingdom\n"


@pytest.fixture
def written(tmp_path):
    def write(content, name="retail.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def read(path, **how):
    return list(read_lines(path, **how))


def test_a_line_is_read_with_the_row_a_spreadsheet_shows(written):
    assert read(written(HEAD + ROW)) == [
        RetailLine(
            2, "536365", "85123A", "WHITE HEART", 6, "2010-12-01T08:26:00Z", "2.55", "17850", "United Kingdom"
        )
    ]


def test_gzip_is_recognised_by_content(written):
    assert len(read(written(gzip.compress((HEAD + ROW * 3).encode()), name="retail"))) == 3


def test_quoted_commas_quotes_and_line_breaks_are_text(written):
    row = ROW.replace("WHITE HEART", '"a ""b"", c\nd"')

    assert [line.description for line in read(written(HEAD + row * 2))] == ['a "b", c\nd'] * 2
    assert [line.row for line in read(written(HEAD + row * 2))] == [2, 3]


def test_equal_texts_are_one_object(written):
    first, second = read(written(HEAD + ROW * 2))

    assert first.description is second.description


def test_a_last_row_without_newline_is_read_when_its_country_was_seen_before(written):
    assert len(read(written((HEAD + ROW * 2).removesuffix("\n")))) == 2


def test_a_byte_order_mark_is_no_part_of_the_header(written):
    assert read(written(b"\xef\xbb\xbf" + (HEAD + ROW).encode())) == read(written(HEAD + ROW))


@pytest.mark.parametrize("tail", ["\n\n", ",,,,,,,\n" * 3, "\n ,,,,,,,\n", "\r\n", ",,,,,,,"])
def test_empty_records_at_the_end_are_left_out(written, tail):
    assert read(written(HEAD + ROW + tail)) == read(written(HEAD + ROW))


def test_months_come_first_and_text_is_iso_8859_1_where_the_file_is_said_to_be_so(written):
    row = ROW.replace("2010-12-01 08:26:00", "12/1/2010 8:26").replace("WHITE", "CAFÉ £5")
    (line,) = read(written((HEAD + row).encode("iso-8859-1")), form=Format.CSV_MONTH_FIRST)

    assert (line.description, line.invoiced_at) == ("CAFÉ £5 HEART", "2010-12-01T08:26:00Z")


def test_a_byte_order_mark_says_that_text_is_utf_8(written):
    row = ROW.replace("2010-12-01 08:26:00", "12/1/2010 8:26").replace("WHITE", "CAFÉ")
    (line,) = read(written("\ufeff" + HEAD + row), form=Format.CSV_MONTH_FIRST)

    assert line.description == "CAFÉ HEART"


def test_online_retail_ii_has_the_same_lines_under_another_header(written):
    assert read(written(HEAD_II + ROW), form=Format.RETAIL_II_CSV) == read(written(HEAD + ROW))


def test_a_refusal_names_the_column_as_the_file_does(written):
    refused = [
        read(written(head + ROW.replace("17850", "17850.0")), form=form)
        for head, form in ((HEAD, Format.CSV), (HEAD_II, Format.RETAIL_II_CSV))
    ]

    assert refused == [
        [Refusal(2, "CustomerID", "Neither digits nor empty: '17850.0'")],
        [Refusal(2, "Customer ID", "Neither digits nor empty: '17850.0'")],
    ]


def test_a_line_that_is_refused_costs_no_other(written):
    lines = read(written(HEAD + ROW + ROW.replace("85123A", "85123A ") + ROW))

    assert [type(line) for line in lines] == [RetailLine, Refusal, RetailLine]
    assert [line.row for line in lines] == [2, 3, 4]


def test_the_digest_is_that_of_the_bytes_and_of_the_sheet_if_one_is_chosen(written):
    digests = {file_digest(written("a"), sheet=sheet) for sheet in (None, "one", "two")}

    assert len(digests) == 3
    assert file_digest(written("a")) == "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"


BAD_FILES = {
    "empty": (b"", 1, "header"),
    "wrong header": ("a,b,c\n" + ROW, 1, "found a,b,c"),
    "header in another order": (
        HEAD.replace("InvoiceNo,StockCode", "StockCode,InvoiceNo") + ROW,
        1,
        "header",
    ),
    "header of Online Retail II": (HEAD_II + ROW, 1, "; that is --format retail-ii-csv"),
    "byte order mark twice": ("\ufeff\ufeff" + HEAD + ROW, 1, "header"),
    "a workbook": (b"PK\x03\x04 and more", 1, "a workbook needs its own --format"),
    "nothing after the header": (HEAD, 2, "nothing to import"),
    "quantity not a number": (HEAD + ROW + ROW.replace(",6,", ",six,"), 3, "Quantity"),
    "quantity with a fraction": (HEAD + ROW.replace(",6,", ",6.5,"), 2, "Quantity"),
    "quantity in foreign digits": (HEAD + ROW.replace(",6,", ",٦,"), 2, "Quantity"),
    "price not a number": (HEAD + ROW.replace("2.55", "NaN"), 2, "UnitPrice"),
    "price with an exponent": (HEAD + ROW.replace("2.55", "1e3"), 2, "UnitPrice"),
    "date in another form": (HEAD + ROW.replace("2010-12-01 08:26:00", "1/12/2010 08:26"), 2, "InvoiceDate"),
    "month first": (
        HEAD + ROW.replace("2010-12-01 08:26:00", "12/1/2010 8:26"),
        2,
        "InvoiceDate is not YYYY-MM-DD HH:MM:SS; month first is --format csv-month-first",
    ),
    "column missing": (HEAD + ROW + "536366,85123A,X,6\n", 3, "4 columns"),
    "column too many": (HEAD + ROW.replace("\n", ",x\n"), 2, "9 columns"),
    "blank row in the middle": (HEAD + ROW + "\n\n" + ROW, 3, "the row is empty, and others follow"),
    "row of commas in the middle": (HEAD + ROW + ",,,,,,,\n" + ROW, 3, "the row is empty"),
    "cut off inside a number": ((HEAD + ROW + ROW)[:-30], 3, "columns"),
    "cut off inside the country": (HEAD + ROW + ROW[:-4], 3, "ends inside this row"),
    "cut off inside quotes": (HEAD + ROW + '536366,85123A,"WHITE', 3, "cut off"),
    "not UTF-8": ((HEAD + ROW).encode() + ROW.replace("WHITE", "BLANCHÉ").encode("latin-1"), 3, "UTF-8"),
    "a line without end": (HEAD + ROW + "x" * 70_000, 3, "longer than"),
}


@pytest.mark.parametrize(("content", "row", "words"), BAD_FILES.values(), ids=BAD_FILES.keys())
def test_a_bad_file_is_refused_with_row_and_reason(written, content, row, words):
    path = written(content)

    with pytest.raises(BadFile) as refused:
        read(path)

    assert refused.value.row == row
    assert words in refused.value.reason
    assert str(refused.value).startswith(f"{path}: row {row}: ")


def test_a_gzip_that_is_cut_off_is_refused_at_the_row_where_it_ends(written):
    rows = "".join(ROW.replace("536365", str(number)) for number in range(536365, 540000))
    packed = gzip.compress((HEAD + rows).encode())

    with pytest.raises(BadFile, match="gzip stream is broken or cut off") as refused:
        read(written(packed[: len(packed) // 2]))

    assert 2 < refused.value.row < 3_637


def test_a_gzip_with_a_flipped_byte_is_refused(written):
    packed = bytearray(gzip.compress((HEAD + ROW * 2_000).encode()))
    packed[-6] ^= 0xFF  # in the checksum of the whole

    with pytest.raises(BadFile, match="gzip"):
        read(written(bytes(packed)))


def test_a_name_that_promises_gzip_is_held_to_it(written):
    with pytest.raises(BadFile, match="not gzip"):
        read(written(HEAD + ROW, name="retail.csv.gz"))


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(BadFile, match="cannot be read"):
        read(tmp_path / "missing.csv")


def test_a_csv_file_has_no_sheets(written):
    with pytest.raises(BadFile, match="no sheets"):
        read(written(HEAD + ROW), sheet="one")


def test_a_date_of_another_form_is_refused_where_months_come_first(written):
    with pytest.raises(BadFile, match="row 2: InvoiceDate is not M/D/YYYY H:MM"):
        read(written(HEAD + ROW), form=Format.CSV_MONTH_FIRST)
