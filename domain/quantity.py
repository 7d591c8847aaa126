"""Quantities: whole pieces, at least one."""

from dataclasses import dataclass
from typing import Final

from domain.rejection import Unacceptable

QUANTITY_MAX: Final = 10_000_000
"""Pieces in one receipt, one adjustment or one line."""


@dataclass(kw_only=True, eq=False)
class QuantityOutOfRange(Unacceptable):
    """The quantity is not a number of pieces that one command may move."""

    title = "The quantity is out of range"
    meaning = "A quantity is at least one piece and at most `facts.limit`."
    remedy = "Correct the quantity, or split the movement."

    quantity: int
    limit: int = QUANTITY_MAX

    def __str__(self) -> str:
        return f"A quantity is between 1 and {self.limit} pieces."


def validate_quantity(quantity: int) -> int:
    """Return `quantity` when one command may move that many pieces.

    Raises:
        QuantityOutOfRange: it may not.
    """
    if not 1 <= quantity <= QUANTITY_MAX:
        raise QuantityOutOfRange(quantity=quantity)
    return quantity
