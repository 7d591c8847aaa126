"""Reads a CSV file, plain or gzip, record by record; refuses one that is broken or cut off anywhere."""

import codecs
import csv
import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from examples.online_retail.errors import BadFile

GZIP_MAGIC = b"\x1f\x8b"
ZIP_MAGIC = b"PK\x03\x04"
LINE_BYTES_MAX = 65_536


class Record(NamedTuple):
    """One row of a table, as text. Rows are counted as a spreadsheet does: the header is row 1."""

    row: int
    fields: list[str]


def records(path: Path, *, encoding: str) -> Iterator[Record]:
    """Yield the header and every record behind it; empty records at the end are left out.

    Raises:
        BadFile: the file is broken or cut off, has an empty record in its middle, or bytes that are no text.
    """
    place = _Place(path)
    with place.explaining(), _opened(place, path) as source:
        text = _TextLines(source, encoding)
        last_fields: set[str] = set()
        for record in _filled(place, csv.reader(text, strict=True)):
            last_field = record.fields[-1]
            # A file that was cut inside its last column would otherwise pass with half a country.
            if record.row > 1 and not text.ended_with_newline and last_field not in last_fields:
                raise place.bad("the file ends inside this row; end it with a newline if it is whole")
            last_fields.add(last_field)
            yield record


class _Place:
    """Where reading stands, for whatever goes wrong there."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.row = 1

    def bad(self, reason: str) -> BadFile:
        return BadFile(self._path, row=self.row, reason=reason)

    @contextmanager
    def explaining(self) -> Iterator[None]:
        """Translate what reading raises into the file's row and what is wrong there."""
        try:
            yield
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise self.bad(f"the gzip stream is broken or cut off here ({error})") from error
        except UnicodeDecodeError as error:
            raise self.bad(f"the text is not {error.encoding.upper()}") from error
        except csv.Error as error:
            raise self.bad(f"the row is not valid CSV, or cut off ({error})") from error
        except OSError as error:
            raise self.bad(f"the file cannot be read ({error})") from error


def _filled(place: _Place, rows: Iterator[list[str]]) -> Iterator[Record]:
    """Records that hold something. `place` is the row that is read next, until it is there."""
    width = 0
    empty = 0
    for fields in rows:
        if not any(map(str.strip, fields)):
            empty += 1
        elif empty:
            raise place.bad("the row is empty, and others follow")
        elif width and len(fields) != width:
            raise place.bad(f"{len(fields)} columns where {width} are expected; is the file cut off?")
        else:
            width = len(fields)
            yield Record(place.row, fields)
            place.row += 1


def _opened(place: _Place, path: Path) -> BinaryIO:
    with path.open("rb") as source:
        begins = source.read(len(ZIP_MAGIC))
    if begins == ZIP_MAGIC:
        raise place.bad("the file is a workbook or another zip archive; a workbook needs its own --format")
    packed = begins.startswith(GZIP_MAGIC)
    if not packed and path.name.endswith(".gz"):
        raise place.bad("the name ends in .gz but the content is not gzip")
    return cast("BinaryIO", gzip.open(path)) if packed else path.open("rb")


class _TextLines:
    """Physical lines as text; remembers whether the newest one ended with a newline.

    A byte order mark is left out, and says that the text is UTF-8 whatever it was said to be.
    """

    def __init__(self, source: BinaryIO, encoding: str) -> None:
        self._source = source
        self._encoding = encoding
        self.ended_with_newline = True

    def __iter__(self) -> Iterator[str]:
        first = True
        while line := self._source.readline(LINE_BYTES_MAX):
            self.ended_with_newline = line.endswith(b"\n")
            if len(line) == LINE_BYTES_MAX and not self.ended_with_newline:
                raise csv.Error(f"a line is longer than {LINE_BYTES_MAX} bytes")
            if first and line.startswith(codecs.BOM_UTF8):
                self._encoding = "utf-8"
                line = line.removeprefix(codecs.BOM_UTF8)
            first = False
            yield line.decode(self._encoding)
