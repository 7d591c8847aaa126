"""Text: why it may be read by everybody who reads the log, and what people may type where it is shown.

A `str` field of an event, of a row or of a request says what it is: an id type, an enumeration, a `Sealed` value, or
public for a reason that is written down next to it. `tests/architecture/test_fields.py` finds the field that does not.

Control characters (Unicode's category Cc: U+0000 to U+001F, U+007F to U+009F) never may be typed: terminals act on
them, and Postgres refuses the first.
"""

from typing import Annotated, Final, Literal

from msgspec import Struct

TITLE_CHARACTERS_MAX: Final = 500
COUNTRY_CHARACTERS_MAX: Final = 100
REFERENCE_CHARACTERS_MAX: Final = 200
NOTE_CHARACTERS_MAX: Final = 500
PERSON_CHARACTERS_MAX: Final = 200
EMAIL_CHARACTERS_MAX: Final = 254
ADDRESS_CHARACTERS_MAX: Final = 1_000

NAME_PATTERN: Final = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"
"""One line that is not blank: a title, a country."""

LINE_PATTERN: Final = r"^[^\x00-\x1f\x7f-\x9f]*$"
"""One line, possibly empty: a reference."""

EMAIL_PATTERN: Final = r"^[^@\s\x00-\x1f\x7f-\x9f]+@[^@\s\x00-\x1f\x7f-\x9f]+$"
"""An address of e-mail, as far as its form says."""

BLOCK_PATTERN: Final = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*$"
"""Any number of lines, possibly none: a note may have tabs and line breaks."""


class PublicText(Struct, frozen=True):
    """Marks text that is nobody's personal data, and says why: `Annotated[str, PublicText("…")]`.

    `typed`: people type it, about things. It is for ever where it was recorded, so no person is named in it.
    """

    reason: str
    typed: bool = False


PersonalKind = Literal["name", "email", "phone", "address", "note"]
"""What personal data is: it decides who is shown how much of it."""


class Personal(Struct, frozen=True):
    """Marks personal data, and says what it is for and how long it is kept: `Annotated[Sealed, Personal(…)]`.

    The mark stands on each sealed field of events and rows, and on the member of a request that is sealed before it
    is recorded. `kind` decides who is shown how much of it; docs/security.md is generated from the rest.
    """

    kind: PersonalKind
    purpose: str
    kept: str


Title = Annotated[str, PublicText("the name of a thing, as people are shown it", typed=True)]
Channel = Annotated[str, PublicText("the shop's own name of a way to sell")]
Country = Annotated[str, PublicText("a country is many people's")]
Reference = Annotated[str, PublicText("the sender's own name of a delivery", typed=True)]
MethodRef = Annotated[str, PublicText("the provider's opaque token of a method; never a card number")]
Note = Annotated[str, PublicText("why the books of stock were corrected", typed=True)]
Reason = Annotated[str, PublicText("why an operator acted, for auditors", typed=True)]
Word = Annotated[str, PublicText("a word that a declaration of the code has")]
"""The name of a consumer, a view, a process, a route, a template, a role, a permission."""
Stream = Annotated[str, PublicText("a category and a pseudonymous id")]
Actor = Annotated[str, PublicText("a kind and a pseudonymous id")]
