"""How an application and its aggregates are called in the log: one category an application, one stream an aggregate.

The shop's own categories begin with a lower-case letter. An application's never do, so the two cannot mix, whatever an
application is called, and the index `event_application` holds applications' events alone.
"""

import hashlib
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import quote
from uuid import UUID

from eventsourcing.persistence import DataError

CATEGORY_CHARACTERS_MAX: Final = 100
"""Characters of a category; a longer one ends in a digest."""

UNNAMED: Final = "_"
"""The category of the application without a name: what begins so otherwise has another character behind it."""

OriginatorIdType = Literal["uuid", "text"]

_SEPARATOR: Final = "-"
_DIGEST_CHARACTERS: Final = 32
_DIGEST_MARK: Final = "~"


def category_of(name: str) -> str:
    """The category of the application of this name; no two names have the same one.

    ASCII letters, digits, `_` and `.` stand for themselves and everything else is percent-encoded. A name that begins
    with a lower-case letter or with `_` gets one `_` before it.
    """
    if not name:
        return UNNAMED
    written = quote(name, safe="").replace("-", "%2D").replace("~", "%7E")
    if written[0] == "_" or written[0].islower():
        written = f"_{written}"
    if len(written) <= CATEGORY_CHARACTERS_MAX:
        return written
    digest = hashlib.sha256(written.encode()).hexdigest()[:_DIGEST_CHARACTERS]
    return written[: CATEGORY_CHARACTERS_MAX - _DIGEST_CHARACTERS - 1] + _DIGEST_MARK + digest


@dataclass(frozen=True, slots=True)
class Namespace:
    """Where one application's aggregates are found in the log, and the type of their ids."""

    category: str
    id_type: OriginatorIdType

    def stream_of(self, originator_id: UUID | str) -> str:
        """The stream of an aggregate.

        Raises:
            DataError: the application says that its ids are UUIDs, and this is none.
        """
        return f"{self.category}{_SEPARATOR}{self.text_of(originator_id)}"

    def text_of(self, originator_id: UUID | str) -> str:
        """An aggregate's id as text, the same for every way to write a UUID.

        Raises:
            DataError: the application says that its ids are UUIDs, and this is none.
        """
        if self.id_type == "text" or isinstance(originator_id, UUID):
            return str(originator_id)
        try:
            return str(UUID(originator_id))
        except ValueError as error:
            raise DataError(f"{originator_id!r} is no UUID: set ORIGINATOR_ID_TYPE=text") from error

    def originator_id_of(self, stream: str) -> UUID | str:
        """The aggregate's id that a stream is called after, in the type the application uses."""
        return self.id_from(stream.partition(_SEPARATOR)[2])

    def id_from(self, text: str) -> UUID | str:
        """An aggregate's id in the type the application uses."""
        return UUID(text) if self.id_type == "uuid" else text
