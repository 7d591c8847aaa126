"""The templates of mails: their names, newest versions, and what fills them. Their texts are files next to the gateway.

A version that was published stays as it is, since a mail that was requested with it is sent with it.
"""

from typing import Final

from msgspec import Struct


class Template(Struct, frozen=True, kw_only=True):
    """A kind of mail. `parameters` come with the request, `secrets` are looked up when it is sent."""

    name: str
    version: int = 1
    parameters: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()


VERIFY_ADDRESS: Final = Template(name="verify-address", secrets=("token",))
"""The reader of this mail may show, by its link, that the address is theirs."""

RESET_PASSWORD: Final = Template(name="reset-password", secrets=("token",))
"""The reader of this mail may choose a new password, by its link."""

ADDRESS_IN_USE: Final = Template(name="address-in-use")
"""Somebody wanted to register an address that has an account."""

PASSWORD_CHANGED: Final = Template(name="password-changed", parameters=("at",))
"""The password is another one since `at`."""

SESSIONS_REVOKED: Final = Template(name="sessions-revoked", parameters=("at",))
"""A refresh token was used a second time, so its sessions were ended."""

IDENTITY_LINKED: Final = Template(name="identity-linked", parameters=("at", "provider"))
"""The account can be signed in to by an account at `provider`."""

IDENTITY_UNLINKED: Final = Template(name="identity-unlinked", parameters=("at", "provider"))
"""The account cannot be signed in to by an account at `provider` any more."""

ACCOUNT_LOCKED: Final = Template(name="account-locked", parameters=("at",))
"""Nobody can sign in to the account since `at`."""

ORDER_RECEIVED: Final = Template(name="order-received", parameters=("order", "total"))
"""The shop has the order, and decides about it."""

ORDER_CONFIRMED: Final = Template(name="order-confirmed", parameters=("order", "total"))
"""All of the order is kept for its buyer."""

ORDER_REJECTED: Final = Template(name="order-rejected", parameters=("order", "why"))
"""Nothing of the order is sent."""

PAYMENT_NEEDED: Final = Template(name="payment-needed", parameters=("order", "why"))
"""The order waits for its buyer to pay, or to confirm a payment."""

ORDER_DELAYED: Final = Template(name="order-delayed", parameters=("order",))
"""The order has not left, and its buyer may wait or cancel it."""

ORDER_CANCELLED: Final = Template(name="order-cancelled", parameters=("order",))
"""The order is off, as its buyer wanted."""

REFUND_MADE: Final = Template(name="refund-made", parameters=("order", "amount", "where"))
"""Money of the order went back to its buyer."""

ORDER_SHIPPED: Final = Template(name="order-shipped", parameters=("order",))
"""The order has left."""

PARCEL_NUMBER: Final = Template(name="parcel-number", parameters=("order", "number"))
"""The carrier follows a parcel of the order under this number."""

LOSS_SETTLED: Final = Template(name="loss-settled", parameters=("order", "what"))
"""The parcel was lost, and its buyer gets this for it."""

DISPATCH_OVERDUE: Final = Template(name="dispatch-overdue", parameters=("order", "since"))
"""The warehouse could have sent the order since then."""

OF_ORDERS: Final = (
    ORDER_RECEIVED,
    ORDER_CONFIRMED,
    ORDER_REJECTED,
    PAYMENT_NEEDED,
    ORDER_DELAYED,
    ORDER_CANCELLED,
    ORDER_SHIPPED,
    PARCEL_NUMBER,
    LOSS_SETTLED,
    REFUND_MADE,
)
"""Mails to the buyer about an order: their parameter `order` is its id."""

TEMPLATES: Final = (
    VERIFY_ADDRESS,
    RESET_PASSWORD,
    ADDRESS_IN_USE,
    PASSWORD_CHANGED,
    SESSIONS_REVOKED,
    IDENTITY_LINKED,
    IDENTITY_UNLINKED,
    ACCOUNT_LOCKED,
    *OF_ORDERS,
    DISPATCH_OVERDUE,
)
"""All of them."""

WITH_SECRETS: Final = frozenset(each.name for each in TEMPLATES if each.secrets)
"""The names of those with a link of their own, whose token is nobody's but its reader's."""
