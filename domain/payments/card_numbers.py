"""Card numbers (PAN): 13 to 19 digits with a valid check digit (ISO/IEC 7812). The log never has one.

One in ten other numbers of that length looks like one, too: an id that is refused needs a letter. A UUID (RFC 9562) is
none, though one in five hundred has such a number in it.
"""

import re
from typing import Final

_CANDIDATE: Final = re.compile(
    r"(?P<uuid>(?<![0-9a-f])[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?![0-9a-f]))"
    r"|(?<!\d)\d(?:[ .\-]?\d){12,18}(?!\d)",
    re.IGNORECASE,
)
MASK: Final = "[card number]"


def has_card_number(text: str) -> bool:
    """Whether a text contains a number with the form of a card's."""
    return any(_is_card_number(found) for found in _CANDIDATE.finditer(text))


def without_card_numbers(text: str) -> str:
    """The text with every card number masked: for words of the provider, which nobody can correct."""
    return _CANDIDATE.sub(lambda found: MASK if _is_card_number(found) else found.group(), text)


def _is_card_number(found: re.Match[str]) -> bool:
    if found["uuid"] is not None:
        return False
    digits = [int(each) for each in found.group() if each.isdigit()]
    doubled = (2 * each - 9 if each > 4 else 2 * each for each in digits[-2::-2])
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0
