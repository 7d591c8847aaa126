"""What can go wrong while reading a view.

Errors:
    ReadError
    ├── DocumentsUnavailable   the document cache does not answer, or not in time; ask SQL
    ├── ViewUnavailable        the database does not answer, or the view has no live build
    │   ├── BuildGone          the build was dropped between two snapshots; read again
    │   └── TooSlow            the database ended a statement that took too long
    └── TooManyReads           more reads are waiting than can be answered soon
"""


class ReadError(Exception):
    """A view could not be read."""


class DocumentsUnavailable(ReadError):
    """The document cache cannot answer at the moment."""


class ViewUnavailable(ReadError):
    """The view cannot be read at the moment, from anywhere."""


class BuildGone(ViewUnavailable):
    """A build's table is not there any longer: another build answers now."""


class TooSlow(ViewUnavailable):
    """The database answers, but ended this read because it took too long."""


class TooManyReads(ReadError):
    """The queue of reads is full."""
