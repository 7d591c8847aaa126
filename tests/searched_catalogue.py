"""A catalogue that is generated, with what is known of each product, so that answers of searches can be judged by it.

What a product is (its noun, colour, material and motif) decides how well it answers a question; its texts are made of
that, some of it in the title, some in the description or the properties of a listing.
"""

import itertools
import math
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from msgspec import Struct

from domain.catalogue.events import (
    ListingContent,
    ListingCreated,
    ListingPublished,
    ProductCreated,
    VariantAdded,
)
from domain.event import Event
from domain.ids import CategoryId, ChannelId, ListingId, Sku
from domain.inventory.events import StockReceived
from domain.money import Currency, UnitPrice
from projections.catalogue.search_folds import VIEWS
from projections.folding import Versioned
from projections.view import Key, Row, View

BEGAN: Final = datetime(2026, 1, 1, tzinfo=UTC)
SHOP: Final = ChannelId("web")

NOUNS: Final = (
    "mug", "lantern", "cushion", "candle", "basket", "teapot", "clock", "mirror", "doormat", "apron",
    "umbrella", "notebook", "lampshade", "blanket", "tray", "vase", "hook", "jar", "bunting", "kettle",
)  # fmt: skip
COLOURS: Final = ("red", "white", "green", "yellow", "purple", "orange")
MATERIALS: Final = ("wooden", "ceramic", "copper", "linen", "bamboo", "glass")
MOTIFS: Final = ("heart", "star", "robin", "strawberry", "gingham", "paisley", "lighthouse")
ROOMS: Final = ("kitchen", "garden", "bathroom", "nursery")


class Thing(Struct, frozen=True):
    """What one product is; `listed`: its material and its room stand in its listing only."""

    number: int
    noun: str
    colour: str
    material: str
    motif: str
    room: str
    listed: bool

    @property
    def sku(self) -> Sku:
        return Sku(f"{10_000 + self.number}{self.colour[0].upper()}")

    @property
    def aspects(self) -> set[str]:
        return {self.noun, self.colour, self.material, self.motif, self.room if self.listed else ""}

    @property
    def title(self) -> str:
        material = "" if self.listed else f"{self.material} "
        return f"{self.colour} {material}{self.motif} {self.noun}".capitalize()


class Graded(Struct, frozen=True):
    """A question, and what it is about: aspects, or one SKU. `noun` is what partial answers must be."""

    q: str
    about: frozenset[str]
    noun: str | None = None
    sku: Sku | None = None

    def grade(self, thing: Thing) -> int:
        """3: all that was asked for; 1: the thing that was asked for, in all aspects but one of several; else 0."""
        if self.sku is not None:
            return 3 * (thing.sku == self.sku)
        had = len(self.about & thing.aspects)
        if had == len(self.about):
            return 3
        return int(len(self.about) > 2 and had == len(self.about) - 1 and self.noun in thing.aspects)


def things(count: int) -> list[Thing]:
    """So many different products, the same ones each time."""
    every = itertools.product(NOUNS, COLOURS, MATERIALS, MOTIFS)
    total = len(NOUNS) * len(COLOURS) * len(MATERIALS) * len(MOTIFS)
    step = max(1, total // count)
    chosen = itertools.islice(every, 0, None, step)
    return [
        Thing(n, noun, colour, material, motif, ROOMS[n % len(ROOMS)], listed=n % 3 == 0)
        for n, (noun, colour, material, motif) in enumerate(itertools.islice(chosen, count))
    ]


def events_of(thing: Thing) -> Iterator[Event]:
    """What happened to a product."""
    at = BEGAN + timedelta(minutes=thing.number)
    price = UnitPrice(f"{1 + thing.number % 90}.{thing.number % 10}5")
    yield ProductCreated(
        sku=thing.sku,
        title=thing.title,
        stocked=True,
        unit_price=price,
        currency=Currency("GBP"),
        created_at=at,
    )
    if thing.number % 4:
        yield StockReceived(sku=thing.sku, quantity=3, reference="", received_at=at)
    if not thing.listed:
        return
    listing_id = ListingId(f"l-{thing.number}")
    content = ListingContent(
        slug=f"thing-{thing.number}",
        titles={"en-GB": f"{thing.motif} {thing.noun}".capitalize()},
        descriptions={"en-GB": f"Made with care, for the {thing.room}."},
        tax_category="standard",
        category_ids=(CategoryId(thing.room), CategoryId(f"{thing.noun}s")),
        attributes={"material": thing.material},
    )
    yield ListingCreated(listing_id=listing_id, content=content, created_at=at)
    yield VariantAdded(
        listing_id=listing_id, sku=thing.sku, options={"colour": thing.colour}, weight_g=None, added_at=at
    )
    yield ListingPublished(
        listing_id=listing_id,
        channel=SHOP,
        starts_at=at,
        slug=content.slug,
        titles=content.titles,
        category_ids=content.category_ids,
        published_at=at,
    )


Rows = dict[Key, Versioned]


def rows_of(view: View[Any], events: Collection[Event]) -> Rows:
    """The rows of a view after these events, each with the position of the last event that changed it."""
    rows: Rows = {}
    for position, event in enumerate(events, 1):
        fold = view.folds.get(type(event))
        for key, part in () if fold is None else fold.spread(event):
            before: Row | None = rows[key].row if key in rows else None
            rows[key] = Versioned(fold.apply(before, event, part) if fold else None, position)
    return rows


def searched(events: Collection[Event]) -> list[Rows]:
    """What is searched after these events: the rows of each view."""
    return [rows_of(view, events) for view in VIEWS]


def _about(q: str, *aspects: str) -> Graded:
    noun = next((each for each in aspects if each in NOUNS), None)
    return Graded(q, frozenset(aspects), noun)


def questions(made: Sequence[Thing]) -> list[Graded]:
    """What is asked of these products, and what the answers are graded by."""
    some = made[:: len(made) // 8]
    return [
        # as it is called
        *(_about(each.title, *each.aspects - {""} - ({each.room, each.material} if each.listed else set()))
          for each in some),
        # a part of that, in any order
        _about("heart mug", "heart", "mug"),
        _about("mug heart", "heart", "mug"),
        _about("RED lantern", "red", "lantern"),
        _about("paisley cushion", "paisley", "cushion"),
        _about("green umbrella", "green", "umbrella"),
        _about("lighthouse", "lighthouse"),
        _about("teapot", "teapot"),
        _about("yellow robin", "yellow", "robin"),
        _about("white star bunting", "white", "star", "bunting"),
        _about("purple gingham apron", "purple", "gingham", "apron"),
        # many, one, and signs between them
        _about("strawberries", "strawberry"),
        _about("red candles", "red", "candle"),
        _about("hearts and lanterns", "heart", "lantern"),
        _about("mugs, green", "mug", "green"),
        _about("robin-clock", "robin", "clock"),
        _about("the orange baskets", "orange", "basket"),
        _about("lampshades", "lampshade"),
        # what only a description, a property or a listing says
        _about("copper kettle", "copper", "kettle"),
        _about("bamboo tray", "bamboo", "tray"),
        _about("glass jar", "glass", "jar"),
        _about("wooden clock", "wooden", "clock"),
        _about("linen blanket", "linen", "blanket"),
        _about("ceramic vase", "ceramic", "vase"),
        _about("mirror bathroom", "mirror", "bathroom"),
        _about("kitchen apron", "kitchen", "apron"),
        _about("lantern for the garden", "lantern", "garden"),
        _about("nursery", "nursery"),
        # while it is typed
        _about("lant", "lantern"),
        _about("heart cush", "heart", "cushion"),
        _about("umbr", "umbrella"),
        _about("green not", "green", "notebook"),
        _about("star lamps", "star", "lampshade"),
        _about("door", "doormat"),
        _about("white can", "white", "candle"),
        _about("straw", "strawberry"),
        # by the SKU
        *(Graded(q, frozenset(), sku=each.sku)
          for each, q in zip(some[:6], (some[0].sku, some[1].sku.lower(), some[2].sku[:5], some[3].sku,
                                        f" {some[4].sku} ", some[5].sku.lower()), strict=True)),
        # with errors of typing
        _about("latnern", "lantern"),
        _about("lantren", "lantern"),
        _about("cusion", "cushion"),
        _about("umbrela", "umbrella"),
        _about("cushoin", "cushion"),
        _about("strawbery", "strawberry"),
        _about("lighthuose", "lighthouse"),
        _about("notebok", "notebook"),
        _about("blankett", "blanket"),
        _about("red lampshde", "red", "lampshade"),
        _about("gingam apron", "gingham", "apron"),
        _about("paisly vase", "paisley", "vase"),
        _about("teepot", "teapot"),
        _about("yelow bunting", "yellow", "bunting"),
        _about("basqet", "basket"),
        _about("dormat", "doormat"),
    ]  # fmt: skip


def ndcg(graded: Graded, found: Sequence[str], made: Sequence[Thing], *, depth: int = 10) -> float:
    """How good an answer is, from 0 to 1: the gain of what was found, by its place, of the best that there could be."""
    grades = {thing.sku: graded.grade(thing) for thing in made}
    best = sorted(grades.values(), reverse=True)[:depth]
    assert best[0] > 0, f"nothing answers {graded.q!r}"
    return _gain([grades[Sku(sku)] for sku in found[:depth]]) / _gain(best)


def _gain(grades: Sequence[int]) -> float:
    return sum((2**grade - 1) / math.log2(place + 1) for place, grade in enumerate(grades, 1))
