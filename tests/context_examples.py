"""One ordinary case of each event of the contexts whose examples stand in a module of their own."""

from typing import Final

from domain.event import Event
from tests import (
    cart_examples,
    catalogue_examples,
    customer_examples,
    identity_examples,
    payment_examples,
    pricing_examples,
    purchase_examples,
    security_examples,
)

ONE_OF_EACH: Final[tuple[Event, ...]] = (
    *identity_examples.ONE_OF_EACH,
    *customer_examples.ONE_OF_EACH,
    *pricing_examples.ONE_OF_EACH,
    *cart_examples.ONE_OF_EACH,
    *payment_examples.ONE_OF_EACH,
    *payment_examples.OF_STORE_CREDIT,
    *purchase_examples.ONE_OF_EACH,
    *catalogue_examples.ONE_OF_EACH,
    *security_examples.ONE_OF_EACH,
)
