"""Card numbers (PAN): 13 to 19 digits with a valid check digit (ISO/IEC 7812). The log never has one.

They may be written in groups, next to other digits: a date of expiry, a security code, the number of a receipt. So each
sequence of whole groups is one that may be a card's.

One in ten other numbers of that length looks like one, too: an id that is refused needs a letter. A UUID (RFC 9562) is
none, though one in five hundred has such a number in it.
"""

import re
from collections.abc import Iterator
from typing import Final

DIGITS_MIN: Final = 13
DIGITS_MAX: Final = 19

_UUID_OR_RUN: Final = re.compile(
    r"(?P<uuid>(?<![0-9a-f])[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?![0-9a-f]))|\d+(?:[ .\-]\d+)*",
    re.IGNORECASE,
)
_GROUP: Final = re.compile(r"\d+")
MASK: Final = "[card number]"


def has_card_number(text: str) -> bool:
    """Whether a text contains a number with the form of a card's."""
    return next(_spans(text), None) is not None


def without_card_numbers(text: str) -> str:
    """The text with every card number masked: for words of the provider, which nobody can correct."""
    parts, end = [], 0
    for span_begin, span_end in _merged(_spans(text)):
        parts += [text[end:span_begin], MASK]
        end = span_end
    return "".join([*parts, text[end:]])


def _spans(text: str) -> Iterator[tuple[int, int]]:
    """Where each card number begins and ends, by its beginning; some overlap."""
    for run in _UUID_OR_RUN.finditer(text):
        if run["uuid"] is not None:
            continue
        groups = [(group.group(), *group.span()) for group in _GROUP.finditer(text, *run.span())]
        for first, (_, begin, _) in enumerate(groups):
            digits = ""
            for group, _, end in groups[first : first + DIGITS_MAX]:
                digits += group
                if len(digits) > DIGITS_MAX:
                    break
                if len(digits) >= DIGITS_MIN and _has_check_digit(digits):
                    yield begin, end


def _merged(spans: Iterator[tuple[int, int]]) -> list[tuple[int, int]]:
    """One for those that overlap: which of them is the card's cannot be known, so no digit of either is left."""
    merged: list[tuple[int, int]] = []
    for begin, end in spans:
        if merged and begin < merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((begin, end))
    return merged


def _has_check_digit(text: str) -> bool:
    digits = [int(each) for each in text]
    doubled = (2 * each - 9 if each > 4 else 2 * each for each in digits[-2::-2])
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0
