"""Restock: pieces of a credit note return to stock, to be sold again."""

from datetime import datetime
from typing import Final

from commands.decision import Appended, Decision, DecisionView, events_of
from commands.processes.process import Process, Streams
from domain.inventory import stock_item
from domain.inventory.locations import ALL, LOCATIONS, open_locations
from domain.inventory.stock_item import STOCK
from domain.ordering.events import CreditNoteIssued
from event_store.consumers.starting import HEAD

RESTOCK: Final = Process("restock", writes=(STOCK,), start=HEAD)


def credited_stock(event: CreditNoteIssued) -> Streams:
    """The stock of every stocked SKU of the note, and the locations, where orders may wait for it."""
    return [(LOCATIONS, ALL), *((STOCK, total.sku) for total in event.skus if total.stocked)]


@RESTOCK.when(CreditNoteIssued, reads=credited_stock)
def put_back(event: CreditNoteIssued, view: DecisionView, now: datetime) -> Decision:
    """Return every stocked SKU to stock, summed over its lines."""
    locations = open_locations(view.current(LOCATIONS, ALL))
    returned: list[Appended] = []
    for total in event.skus:
        if total.stocked:
            events = stock_item.return_(
                view.current(STOCK, total.sku),
                sku=total.sku,
                credit_note_id=event.credit_note_id,
                quantity=total.units,
                disposition="sellable",
                locations=locations,
                now=now,
            )
            returned.extend(events_of(STOCK, total.sku, events))
    return Decision(tuple(returned))
