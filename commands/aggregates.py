"""The kinds of streams that commands decide on."""

from typing import Final

from commands.states import Aggregate
from domain.catalogue import product as products
from domain.catalogue.product import Product
from domain.inventory import stock_item
from domain.inventory.stock_item import StockItem
from domain.ordering import credit_note as credit_notes
from domain.ordering import order as orders
from domain.ordering.credit_note import CreditNote
from domain.ordering.order import Order

PRODUCT: Final[Aggregate[Product]] = Aggregate(category="product", evolve=products.evolve)

STOCK: Final[Aggregate[StockItem]] = Aggregate(category="stock", evolve=stock_item.evolve)

# The fulfilment policy writes every order too, so a kept state would be out of date by the next command.
ORDER: Final[Aggregate[Order]] = Aggregate(category="order", evolve=orders.evolve, kept=False)

CREDIT_NOTE: Final[Aggregate[CreditNote]] = Aggregate(
    category="credit_note", evolve=credit_notes.evolve, kept=False
)
