"""Text that people typed: what may stand in titles, countries, references and notes, so that it can be shown anywhere.

Control characters (Unicode's category Cc: U+0000 to U+001F, U+007F to U+009F) never may: terminals act on them, and
Postgres refuses the first.
"""

from typing import Final

TITLE_CHARACTERS_MAX: Final = 500
COUNTRY_CHARACTERS_MAX: Final = 100
REFERENCE_CHARACTERS_MAX: Final = 200
NOTE_CHARACTERS_MAX: Final = 500

NAME_PATTERN: Final = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"
"""One line that is not blank: a title, a country."""

LINE_PATTERN: Final = r"^[^\x00-\x1f\x7f-\x9f]*$"
"""One line, possibly empty: a reference."""

BLOCK_PATTERN: Final = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*$"
"""Any number of lines, possibly none: a note may have tabs and line breaks."""
