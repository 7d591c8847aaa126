"""One ordinary case of each event of a purchase, in the order in which they could be recorded."""

from typing import Any, Final

from msgspec.structs import replace

from domain.event import Event
from domain.ids import OrderId, PaymentId, Sku
from domain.money import Currency, Minor
from domain.ordering.events import PaymentNeeded, PurchaseBegun, PurchaseUnwound, ReleasedSku
from tests.payment_examples import NOW, ORDER, TOTAL

_OF: Final = {"order_id": OrderId(ORDER), "payment_id": PaymentId(ORDER)}


def purchase_begun(**changes: Any) -> PurchaseBegun:
    begun = PurchaseBegun(**_OF, currency=Currency("GBP"), amount=Minor(TOTAL), begun_at=NOW)
    return replace(begun, **changes)


def payment_needed(**changes: Any) -> PaymentNeeded:
    return replace(PaymentNeeded(**_OF, reason="declined", attempt=1, needed_at=NOW), **changes)


def purchase_unwound(**changes: Any) -> PurchaseUnwound:
    released = (ReleasedSku(sku=Sku("85123A"), quantity=3),)
    return replace(PurchaseUnwound(**_OF, released=released, unwound_at=NOW), **changes)


ONE_OF_EACH: Final[tuple[Event, ...]] = (purchase_begun(), payment_needed(), purchase_unwound())
