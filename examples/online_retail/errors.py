"""Everything an import can end with besides success.

ImportFailed
├── BadFile              the file cannot be read as what it claims to be; nothing was sent
├── NoWorkbookReader     a workbook is to be read, and openpyxl is not installed
├── ShopUnreachable      the shop did not answer for longer than a named limit; run the import again to go on
├── UnexpectedAnswer     the shop answered what no version of it should answer
└── NeverCaughtUp        everything was sent, but relay, process managers or views did not reach the log's head
"""

from counterfoil.user_messages import UserError


class ImportFailed(UserError):
    """An import that ended before its figures could be read."""


class BadFile(ImportFailed):
    """A file that is not a whole online-retail file.

    Attributes:
        row: row of the file as a spreadsheet counts it (the header is row 1).
        reason: one sentence about what is wrong there.
    """

    def __init__(self, path: object, *, row: int, reason: str) -> None:
        super().__init__(f"{path}: row {row}: {reason}")
        self.row = row
        self.reason = reason


class NoWorkbookReader(ImportFailed):
    """openpyxl is an extra of the package and not there."""

    def __str__(self) -> str:
        return "a workbook is read with openpyxl: install the extra `counterfoil[excel]`"


class ShopUnreachable(ImportFailed):
    """The shop refused connections, or asked to wait, for longer than the importer is ready to."""


class UnexpectedAnswer(ImportFailed):
    """The shop answered something outside its own contract."""


class NeverCaughtUp(ImportFailed):
    """Workers did not reach the head of the log in the time allowed."""
