"""Identifiers: what a client may call its products, orders, customers and credit notes.

Ids are the client's own text, so they are kept exactly as given (case matters). Only their alphabet is
narrow: it leaves `-` after the category and `~` between joined parts unambiguous in stream names and keys.
"""

import re
from dataclasses import dataclass
from typing import Final, NewType

from domain.rejection import Unacceptable

ID_LENGTH_MAX: Final = 64
"""Characters in one id."""

ID_PATTERN: Final = r"^[A-Za-z0-9](?:[A-Za-z0-9_. -]{0,62}[A-Za-z0-9])?$"
"""ASCII letters, digits, `_`, `.`, `-` and space; first and last a letter or a digit."""

PART_SEPARATOR: Final = "~"
"""Joins the parts of a composite id; no id may contain it."""

Sku = NewType("Sku", str)
OrderId = NewType("OrderId", str)
CustomerId = NewType("CustomerId", str)
CreditNoteId = NewType("CreditNoteId", str)
CartId = NewType("CartId", str)
CheckoutId = NewType("CheckoutId", str)
AddressId = NewType("AddressId", str)
PaymentId = NewType("PaymentId", str)
PostingId = NewType("PostingId", str)
"""One side of an entry of the payments ledger: payment, entry and account."""
CaptureId = NewType("CaptureId", str)
RefundId = NewType("RefundId", str)
CreditId = NewType("CreditId", str)
"""One amount of store credit that was given; that of a refund is named by its payment and the refund."""
CreditHoldId = NewType("CreditHoldId", str)
"""Store credit that is held for an order."""
LocationId = NewType("LocationId", str)
"""A place that stock lies in, such as a warehouse."""
ShipmentId = NewType("ShipmentId", str)
DisputeId = NewType("DisputeId", str)
"""The payment provider's id of a chargeback."""
PspEventId = NewType("PspEventId", str)
"""The payment provider's id of a webhook."""
HoldId = NewType("HoldId", str)
PriceId = NewType("PriceId", str)
PriceListId = NewType("PriceListId", str)
CustomerGroupId = NewType("CustomerGroupId", str)
"""Customers who have prices of their own, such as resellers."""
JurisdictionId = NewType("JurisdictionId", str)
"""Whose law taxes a sale: a country, or a part of one."""
TaxCategoryId = NewType("TaxCategoryId", str)
PromotionId = NewType("PromotionId", str)
PromotionGroupId = NewType("PromotionGroupId", str)
CouponId = NewType("CouponId", str)
"""The code of a coupon, as it is compared: upper case, without spaces."""
RedemptionId = NewType("RedemptionId", str)
AccountId = NewType("AccountId", str)
SessionId = NewType("SessionId", str)
ClientId = NewType("ClientId", str)
CredentialId = NewType("CredentialId", str)
"""The id of a credential in the vault."""
LinkId = NewType("LinkId", str)
SigningKeyId = NewType("SigningKeyId", str)
CategoryId = NewType("CategoryId", str)
ChannelId = NewType("ChannelId", str)
"""Where a shop shows what it sells: its own site, a market place, a till."""
ListingId = NewType("ListingId", str)
"""A product as a shop shows it: its variants are SKUs."""
MediaId = NewType("MediaId", str)
KeyedHash = NewType("KeyedHash", str)
"""An HMAC under a secret of the installation: it finds what it is of, and tells nobody who lacks the secret."""
AnyId = NewType("AnyId", str)
"""An id of whatever kind, as a request names it."""

_valid = re.compile(ID_PATTERN[1:-1]).fullmatch


@dataclass(kw_only=True, eq=False)
class MalformedId(Unacceptable):
    """The text cannot be an id."""

    title = "The id cannot be an id"
    meaning = (
        "An id has 1 to 64 ASCII letters, digits, `_`, `.`, `-` or spaces; the first and the last are "
        "letters or digits."
    )
    remedy = "Choose another id."

    given: str

    def __str__(self) -> str:
        return (
            f"An id has 1 to {ID_LENGTH_MAX} ASCII letters, digits, '_', '.', '-' or spaces"
            " and begins and ends with a letter or a digit."
        )


def validate_id(text: str) -> str:
    """Return `text` when it may be an id.

    Raises:
        MalformedId: it is empty, too long or holds a character that ids do not have.
    """
    if not is_id(text):
        raise MalformedId(given=text)
    return text


def is_id(text: str) -> bool:
    """Whether `text` may be an id."""
    return _valid(text) is not None


def composite(*parts: str) -> str:
    """Join valid ids into one key; two different sequences of parts never give the same key."""
    return PART_SEPARATOR.join(parts)


def customer_tag(customer_id: CustomerId) -> str:
    """The tag of what belongs to a customer without being in their stream, such as an order."""
    return f"customer:{customer_id}"


def payments_tag(order_id: OrderId) -> str:
    """The tag of what is to be paid of an order, over all of its payments."""
    return f"payments:{order_id}"
