"""The refusals of stock items.

Conflict  NotStocked, InsufficientStock, NotReserved
"""

from dataclasses import dataclass

from domain.ids import Sku
from domain.rejection import Conflict


@dataclass(kw_only=True, eq=False)
class NotStocked(Conflict):
    """It is a service: there is nothing to count."""

    title = "The product is not kept in stock"
    meaning = "The product is a service, which has no stock to receive or to correct."
    remedy = "Name a product that is stocked."

    sku: Sku

    def __str__(self) -> str:
        return f"'{self.sku}' is not kept in stock."


@dataclass(kw_only=True, eq=False)
class InsufficientStock(Conflict):
    """Fewer pieces are available than asked for."""

    title = "Not enough pieces are available"
    meaning = "The command needs more pieces than are available: the others are reserved, or not on hand."
    remedy = (
        "Take at most `facts.available` pieces, receive more, or cancel an order that has some reserved; what is lost"
        " of reserved pieces is written off with the orders that they were for."
    )

    sku: Sku
    requested: int
    available: int

    def __str__(self) -> str:
        return f"Of '{self.sku}', {self.requested} were asked for and {self.available} are available."


@dataclass(kw_only=True, eq=False)
class NotReserved(Conflict):
    """More pieces would be released or shipped than are reserved."""

    title = "More pieces than are reserved"
    meaning = "The command releases or ships more pieces than are reserved."
    remedy = "Release or ship at most `facts.reserved` pieces."

    sku: Sku
    requested: int
    reserved: int

    def __str__(self) -> str:
        return f"Of '{self.sku}', {self.requested} were asked for and {self.reserved} are reserved."
