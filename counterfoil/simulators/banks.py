"""What banks do by themselves at a simulated payment provider: they dispute what was captured, and return refunds."""

from typing import Final, Literal

from counterfoil.simulators.handling import Document

BankAct = Literal["opened", "won", "lost", "returned"]

_AFTER: Final[dict[tuple[str, str], tuple[BankAct, ...]]] = {
    ("captured", "pm_disputed"): ("opened",),
    ("captured", "pm_dispute_won"): ("opened", "won"),
    ("captured", "pm_dispute_lost"): ("opened", "lost"),
    ("refunded", "pm_returned"): ("returned",),
}


def acts_after(status: str, method: str) -> tuple[BankAct, ...]:
    """What the bank of a method does once an operation came to this status."""
    return _AFTER.get((status, method), ())


def moved_by(act: str, amount: int) -> int:
    """How much more of what was captured the provider has for the shop after an act."""
    return {"opened": -amount, "won": amount, "lost": 0, "returned": amount}[act]


def said_of(act: str, answer: Document) -> Document:
    """What a webhook says of an act: about a refund, or about a dispute of what was captured."""
    if act == "returned":
        return {"type": "refund.reversed", "payment": answer["payment"], "operation": answer}
    return {"type": f"chargeback.{act}", "payment": answer["payment"], "dispute": answer["dispute"]}
