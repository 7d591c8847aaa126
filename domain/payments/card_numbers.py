"""Card numbers (PAN): 13 to 19 digits with a valid check digit (ISO/IEC 7812). The log never has one.

One in ten other numbers of that length looks like one, too: an id that is refused needs a letter.
"""

import re
from typing import Final

_CANDIDATE: Final = re.compile(r"(?<!\d)\d(?:[ .\-]?\d){12,18}(?!\d)")
MASK: Final = "[card number]"


def has_card_number(text: str) -> bool:
    """Whether a text contains a number with the form of a card's."""
    return any(_is_valid(found.group()) for found in _CANDIDATE.finditer(text))


def without_card_numbers(text: str) -> str:
    """The text with every card number masked: for words of the provider, which nobody can correct."""
    return _CANDIDATE.sub(lambda found: MASK if _is_valid(found.group()) else found.group(), text)


def _is_valid(written: str) -> bool:
    digits = [int(each) for each in written if each.isdigit()]
    doubled = (2 * each - 9 if each > 4 else 2 * each for each in digits[-2::-2])
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0
