"""How events of the catalogue and of stock change what a search finds.

Any of them may be the first of an SKU. Every event of the catalogue also counts in the row of no SKU, whose position
therefore says when anything that is found last changed.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from msgspec.structs import replace

from domain.catalogue.events import (
    ListingContent,
    ListingCreated,
    ListingPublished,
    ListingRevised,
    ListingUnpublished,
    PriceChanged,
    ProductCreated,
    VariantAdded,
    VariantDiscontinued,
)
from domain.event import Event
from domain.ids import Sku
from domain.inventory.events import (
    BackorderAllocated,
    ReservationLost,
    StockAdjusted,
    StockReceived,
    StockReleased,
    StockReserved,
    StockReturned,
)
from projections.catalogue.search_facets import band, facet, joined, named, scaled
from projections.catalogue.views import (
    ANY_SKU,
    ListingSearch,
    ProductSearch,
    TitleWord,
    listing_search,
    product_search,
    title_word,
)
from projections.view import Key
from runtime.search_words import words_of

BODY_CHARACTERS_MAX: Final = 20_000
"""Characters of descriptions and properties that are searched, so that every text fits what Postgres can index."""

# SKUs


def _of_sku(
    event: ProductCreated | PriceChanged | VariantAdded | VariantDiscontinued,
) -> Iterator[tuple[Key, Sku]]:
    yield (event.sku,), event.sku
    yield (ANY_SKU,), ANY_SKU


def _of_any(_event: Event) -> Iterator[Key]:
    yield (ANY_SKU,)


@product_search.on_each(ProductCreated, parts=_of_sku)
def created(row: ProductSearch | None, event: ProductCreated, sku: Sku) -> ProductSearch:
    """It can be found from now on."""
    return _changed(
        row,
        sku,
        lambda row: replace(
            _priced(row, event), title=event.title, stocked=event.stocked, created_at=event.created_at
        ),
    )


@product_search.on_each(PriceChanged, parts=_of_sku)
def price_changed(row: ProductSearch | None, event: PriceChanged, sku: Sku) -> ProductSearch:
    """The newest list price is what is searched by."""
    return _changed(row, sku, lambda row: _priced(row, event))


@product_search.on_each(VariantAdded, parts=_of_sku)
def variant_added(row: ProductSearch | None, event: VariantAdded, sku: Sku) -> ProductSearch:
    """From here on it is found where its listing is published, and by what that says."""
    return _changed(row, sku, lambda row: replace(row, listing_id=event.listing_id, options=event.options))


@product_search.on_each(VariantDiscontinued, parts=_of_sku)
def discontinued(row: ProductSearch | None, _event: VariantDiscontinued, sku: Sku) -> ProductSearch:
    """It is offered no more, so nobody finds it."""
    return _changed(row, sku, lambda row: replace(row, offered=False))


def listing_changed(row: ProductSearch | None, _event: Event) -> ProductSearch:
    """SKUs are found by what their listings say: what is found may have changed."""
    return _counted(row)


for _event_of_listings in (ListingCreated, ListingRevised, ListingPublished, ListingUnpublished):
    product_search.on(_event_of_listings, keys=_of_any)(listing_changed)


@product_search.on(StockReceived)
def received(row: ProductSearch | None, event: StockReceived) -> ProductSearch:
    """More is available."""
    return _moved(row, event.sku, event.quantity)


@product_search.on(StockAdjusted)
def adjusted(row: ProductSearch | None, event: StockAdjusted) -> ProductSearch:
    """More or less is available."""
    return _moved(row, event.sku, event.delta)


@product_search.on(StockReserved, BackorderAllocated)
def reserved(row: ProductSearch | None, event: StockReserved | BackorderAllocated) -> ProductSearch:
    """What is promised is available no more, also where it came in promised."""
    return _moved(row, event.sku, -event.quantity)


@product_search.on(StockReleased, ReservationLost)
def released(row: ProductSearch | None, event: StockReleased | ReservationLost) -> ProductSearch:
    """What was promised is available again; of what was lost the correction that follows says how many are gone."""
    return _moved(row, event.sku, event.quantity)


@product_search.on(StockReturned)
def returned(row: ProductSearch | None, event: StockReturned) -> ProductSearch:
    """What came back is available."""
    return _moved(row, event.sku, event.quantity)


def _changed(
    row: ProductSearch | None, sku: Sku, change: Callable[[ProductSearch], ProductSearch]
) -> ProductSearch:
    return _counted(row) if sku == ANY_SKU else _found(change(row or ProductSearch(sku=sku)))


def _counted(row: ProductSearch | None) -> ProductSearch:
    row = row or ProductSearch(sku=ANY_SKU)
    return replace(row, changes=row.changes + 1)


def _moved(row: ProductSearch | None, sku: Sku, pieces: int) -> ProductSearch:
    if row is None:
        return _found(ProductSearch(sku=sku, available=pieces))
    moved = replace(row, available=row.available + pieces)
    # How many there are nobody searches by, and most movements leave it at that.
    return moved if (moved.available > 0) == (row.available > 0) else _found(moved)


def _priced(row: ProductSearch, event: ProductCreated | PriceChanged) -> ProductSearch:
    price = None if event.unit_price is None else scaled(event.unit_price)
    return replace(row, unit_price=event.unit_price, currency=event.currency, price=price)


def _found(row: ProductSearch) -> ProductSearch:
    """The row with what follows from the rest of it."""
    in_stock = not row.stocked or row.available > 0
    bands = [] if row.price is None else [band(row.price, str(row.currency))]
    facets = (*named("option", row.options), *bands, f"stock:{'in' if in_stock else 'out'}")
    return replace(
        row,
        heading=_words(row.title),
        body=_words(*row.options.values())[:BODY_CHARACTERS_MAX],
        in_stock=in_stock,
        facets=joined(facets),
    )


# Listings


@listing_search.on(ListingCreated)
def listing_created(_row: None, event: ListingCreated) -> ListingSearch:
    """It says something, and is published nowhere."""
    return _saying(ListingSearch(listing_id=event.listing_id), event.content)


@listing_search.on(ListingRevised)
def listing_revised(row: ListingSearch | None, event: ListingRevised) -> ListingSearch:
    """Its SKUs are found by what it says now."""
    return _saying(row or ListingSearch(listing_id=event.listing_id), event.content)


@listing_search.on(ListingPublished)
def listing_published(row: ListingSearch | None, event: ListingPublished) -> ListingSearch:
    """The newest start in a channel counts."""
    row = row or ListingSearch(listing_id=event.listing_id)
    return _started(replace(row, channels={**row.channels, event.channel: event.starts_at}))


@listing_search.on(ListingUnpublished)
def listing_unpublished(row: ListingSearch | None, event: ListingUnpublished) -> ListingSearch:
    """Its SKUs are found in one channel less."""
    row = row or ListingSearch(listing_id=event.listing_id)
    return _started(
        replace(row, channels={at: since for at, since in row.channels.items() if at != event.channel})
    )


def _saying(row: ListingSearch, content: ListingContent) -> ListingSearch:
    facets = (
        *(facet("category", each) for each in content.category_ids),
        *named("attribute", content.attributes),
    )
    return replace(
        row,
        slug=content.slug,
        titles=content.titles,
        heading=_words(*content.titles.values()),
        body=_words(*content.descriptions.values(), *content.attributes.values())[:BODY_CHARACTERS_MAX],
        facets=joined(facets),
    )


def _started(row: ListingSearch) -> ListingSearch:
    return replace(row, shown_from=min(row.channels.values(), default=None))


def _words(*texts: str) -> str:
    """Their words; of texts that say the same, those of one."""
    return " ".join(dict.fromkeys(" ".join(words_of(text)) for text in texts)).strip()


# Words of titles


def _words_of_product(event: ProductCreated) -> Iterator[tuple[Key, str]]:
    return _each_word([event.title])


def _words_of_listing(event: ListingCreated | ListingRevised) -> Iterator[tuple[Key, str]]:
    return _each_word(event.content.titles.values())


def _each_word(titles: Iterable[str]) -> Iterator[tuple[Key, str]]:
    words = dict.fromkeys(word for title in titles for word in words_of(title))
    return (((word,), word) for word in words)


def word_given(row: TitleWord | None, _event: Event, word: str) -> TitleWord:
    """A word stays when its last title is revised: a fold does not see whether another title has it."""
    row = row or TitleWord(word=word)
    return replace(row, titles=row.titles + 1)


title_word.on_each(ProductCreated, parts=_words_of_product)(word_given)
title_word.on_each(ListingCreated, parts=_words_of_listing)(word_given)
title_word.on_each(ListingRevised, parts=_words_of_listing)(word_given)


VIEWS: Final = (product_search, listing_search, title_word)
"""Views that are searched."""
