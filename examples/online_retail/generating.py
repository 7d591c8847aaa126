"""A seeded shop in the online-retail format, for the demo and for trying things: same seed, same bytes."""

import csv
import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

from examples.online_retail.formats import ONLINE_RETAIL

SEED: Final = 1869  # the year in which the first cash carriers rattled through a shop
PRODUCTS: Final = 200
CUSTOMERS: Final = 1_000
ORDERS: Final = 2_000

FIRST_DAY: Final = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
DAYS: Final = 60
LINES_PER_ORDER_MAX: Final = 9
SHARE_WITHOUT_CUSTOMER: Final = 0.08
SHARE_CREDITED: Final = 0.05
SHARE_WITH_FREE_LINE: Final = 0.02
SHARE_ADJUSTED: Final = 0.03
SHARE_POSTAGE: Final = 0.15

_COLOURS: Final = ("RED", "BLUE", "IVORY", "GREEN", "PINK", "SILVER", "VINTAGE", "STRIPED")
_THINGS: Final = (
    "LANTERN",
    "TEA TOWEL",
    "CAKE STAND",
    "DOORMAT",
    "CLOCK",
    "JAM JAR",
    "LUNCH BOX",
    "WREATH",
    "MUG",
)
_COUNTRIES: Final = ("United Kingdom",) * 17 + ("Germany", "France", "EIRE")
_POSTAGE: Final = "POST"

Row = tuple[str, str, str, int, str, str, str, str]


class _Item(NamedTuple):
    code: str
    title: str
    price: str


def write_retail_file(
    path: Path,
    *,
    seed: int = SEED,
    products: int = PRODUCTS,
    customers: int = CUSTOMERS,
    orders: int = ORDERS,
) -> None:
    """Write a csv file with that many orders, and the oddities that real files have.

    Some orders have no customer, free lines or postage; some invoices only adjust stock; some orders are credited;
    a few lines can become nothing and must be refused.
    """
    chance = random.Random(seed)
    items = [_item(number, chance) for number in range(products)]
    with path.open("w", newline="", encoding="utf-8") as target:
        rows = csv.writer(target, lineterminator="\n")
        rows.writerow(ONLINE_RETAIL)
        rows.writerows(_rows(items, chance, customers=customers, orders=orders))


def _item(number: int, chance: random.Random) -> _Item:
    colour, thing = _COLOURS[number % len(_COLOURS)], _THINGS[number // len(_COLOURS) % len(_THINGS)]
    suffix = chance.choice(("", "", "A", "B"))
    price = f"{chance.randint(29, 1_995) / 100:.2f}"
    return _Item(f"{20_000 + number}{suffix}", f"{colour} {thing} NO {number}", price)


def _rows(items: Sequence[_Item], chance: random.Random, *, customers: int, orders: int) -> Iterator[Row]:
    step = timedelta(days=DAYS) / orders
    for number in range(orders):
        invoice = str(500_000 + number)
        time = f"{FIRST_DAY + number * step:%Y-%m-%d %H:%M:%S}"
        customer = (
            "" if chance.random() < SHARE_WITHOUT_CUSTOMER else str(12_000 + chance.randrange(customers))
        )
        country = chance.choice(_COUNTRIES)
        sold = [_sold(items, chance) for _ in range(chance.randint(1, LINES_PER_ORDER_MAX))]
        for item, quantity in sold:
            yield (invoice, item.code, item.title, quantity, time, item.price, customer, country)
        yield from _extras(items, chance, invoice=invoice, time=time, customer=customer, country=country)
        if chance.random() < SHARE_CREDITED:
            item, quantity = sold[0]
            yield (f"C{invoice}", item.code, item.title, -quantity, time, item.price, customer, country)
        if chance.random() < SHARE_ADJUSTED:
            yield _adjustment(items, chance, invoice=str(700_000 + number), time=time)
    time = f"{FIRST_DAY + orders * step:%Y-%m-%d %H:%M:%S}"
    yield ("A563185", "B", "Adjust bad debt", 1, time, "11062.06", "", "United Kingdom")
    yield ("A563186", "B", "Adjust bad debt", 1, time, "-11062.06", "", "United Kingdom")
    yield ("790000", _POSTAGE, "", 1, time, "0", "", "United Kingdom")


def _sold(items: Sequence[_Item], chance: random.Random) -> tuple[_Item, int]:
    """Some things sell far more often than others, as in any shop."""
    place = int(len(items) * chance.random() ** 2)
    return items[place], chance.choice((1, 1, 2, 3, 4, 6, 12))


def _extras(
    items: Sequence[_Item], chance: random.Random, *, invoice: str, time: str, customer: str, country: str
) -> Iterator[Row]:
    if chance.random() < SHARE_WITH_FREE_LINE:
        item, quantity = _sold(items, chance)
        yield (invoice, item.code, item.title, quantity, time, "0", customer, country)
    if chance.random() < SHARE_POSTAGE:
        yield (invoice, _POSTAGE, "POSTAGE", 1, time, "18.00", customer, country)


def _adjustment(items: Sequence[_Item], chance: random.Random, *, invoice: str, time: str) -> Row:
    item, quantity = _sold(items, chance)
    delta, note = chance.choice(
        ((-quantity, "damaged"), (-quantity, "lost"), (quantity, "found"), (quantity, ""))
    )
    return (invoice, item.code, note, delta, time, "0", "", "United Kingdom")
