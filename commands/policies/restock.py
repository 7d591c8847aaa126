"""Restock: what a credit note names comes back on the shelf, ready to be sold again."""

from datetime import datetime

from commands.policies.policy import Decision, Policy, Reaction, States, stock_in
from domain.event import Event
from domain.inventory import stock_item
from domain.inventory.stock_item import STOCK
from domain.ordering.events import CreditNoteIssued


def issued_reads(event: CreditNoteIssued) -> tuple[str, ...]:
    """The stock of every stocked code of the note."""
    return tuple(STOCK.stream(code.sku) for code in event.skus if code.stocked)


def when_credit_note_issued(event: CreditNoteIssued, states: States, now: datetime) -> Decision:
    """Return every stocked code to stock, summed over its lines."""
    returned: list[tuple[str, Event]] = []
    for code in event.skus:
        if code.stocked:
            facts = stock_item.return_(
                stock_in(states, code.sku),
                sku=code.sku,
                credit_note_id=event.credit_note_id,
                quantity=code.units,
                disposition="sellable",
                now=now,
            )
            returned.extend((STOCK.stream(code.sku), fact) for fact in facts)
    return Decision(events=tuple(returned))


RESTOCK = Policy(
    name="restock",
    reactions=(Reaction("when_credit_note_issued", CreditNoteIssued, issued_reads, when_credit_note_issued),),
)
