"""What can be asked about payments: by id, by order, and the books."""

from typing import Final

from projections.payments.views import (
    OrderPayments,
    PaymentDetails,
    StoreCreditDetails,
    order_payments,
    payment_details,
    payment_ledger,
    store_credit_details,
)
from read_api.including import member
from read_api.lists.declaring import Listed, ListOf, Sort, by_day, by_value
from read_api.reading.resource import Resource, only_row
from read_api.routing import ById, Documented, Include, Queries
from runtime.http.principal import Owned

PAYMENT: Final = Resource(noun="payment", view=payment_details, render=only_row, owner="customer_id")
PAYMENTS_OF_ORDER: Final = Resource(
    noun="order with payments", view=order_payments, render=only_row, owner="customer_id"
)
STORE_CREDIT: Final = Resource(
    noun="store credit", view=store_credit_details, render=only_row, owner="customer_id"
)

_SUMS: Final = {"authorised": 1265, "captured": 765, "refunded": 0, "disputed": 0, "lost": 0}
_EXAMPLE: Final = {
    "payment_id": "pay-1",
    "order_id": "536365",
    "customer_id": "17850",
    "currency": "GBP",
    "amount": 1265,
    "status": "authorised",
    "method_ref": "pm_visa",
    "manual_method": None,
    "attempt": 1,
    "created_at": "2026-01-31T08:26:00Z",
    **_SUMS,
    "expires_at": "2026-02-07T08:26:00Z",
    "action": None,
    "declined_code": None,
    "captures": [
        {"capture_id": "parcel-1", "amount": 765, "step": "done", "reference": "C-000001", "code": None}
    ],
    "refunds": [],
    "disputes": [],
    "webhooks": 0,
    "owed": 0,
    "uncollected": False,
    "waiting": False,
    "waits_for": None,
    "waits_since": None,
}
_ORDER_EXAMPLE: Final = {
    "order_id": "536365",
    "customer_id": "17850",
    "currency": "GBP",
    "status": "partial",
    **_SUMS,
    "payments": [{"payment_id": "pay-1", "amount": 1265, "status": "authorised", **_SUMS}],
}
_POSTING_EXAMPLE: Final = {
    "posting_id": "pay-1~capture:parcel-1~provider",
    "payment_id": "pay-1",
    "entry": "capture:parcel-1",
    "account": "provider",
    "order_id": "536365",
    "currency": "GBP",
    "amount": 765,
    "posted_at": "2026-01-31T08:27:00Z",
}
_POSTING_ID: Final = r"^[A-Za-z0-9](?:[A-Za-z0-9_.~: -]{0,254}[A-Za-z0-9])?$"
"""Ids of a payment or customer, of what moved money, such as store credit of a refund, and an account, joined."""
_CREDIT_EXAMPLE: Final = {
    "customer_id": "17850",
    "balances": [{"currency": "GBP", "balance": 500, "available": 235}],
    "credits": [
        {
            "credit_id": "sorry-1",
            "currency": "GBP",
            "amount": 500,
            "left": 235,
            "reason": "goodwill",
            "payment_id": None,
            "expires_at": "2027-01-31T00:00:00Z",
        }
    ],
    "holds": [
        {
            "hold_id": "hold-1",
            "order_id": "536365",
            "currency": "GBP",
            "amount": 265,
            "status": "held",
            "parts": [{"credit_id": "sorry-1", "amount": 265}],
        }
    ],
}

PAYMENTS: Final = ById(
    "/payments/{payment_id}",
    Owned("payments:read"),
    PAYMENT,
    Documented("get_payment", "Payment", PaymentDetails, _EXAMPLE, "pay-1"),
)
LISTED: Final = ListOf(
    path="/payments",
    requires="payments:read",
    view=payment_details,
    filters=(
        by_value("waiting", "waiting", description="Only those that somebody has to see to.", example=True),
        by_value(
            "waits_for",
            "waits_for",
            description="Only those with this to see to.",
            example="refund_failed",
            few=True,
        ),
        *by_day("created_at", said="Created"),
    ),
    sorts=(
        Sort("created_at", ("created_at", "payment_id"), filters=("waiting", "waits_for", "from", "to")),
        Sort("payment_id", ("payment_id",)),
    ),
    documented=Listed(
        "list_payments",
        "PaymentsPage",
        "Payments, oldest first",
        "`waiting=true` are those that somebody has to see to: a refund failed or came back, the money of an order that"
        " was sent was not taken, or nobody knows whether it is held.",
        _EXAMPLE,
        example_ids=("pay-1", "pay-2"),
    ),
)
OF_ORDERS: Final = ById(
    "/orders/{order_id}/payments",
    Owned("payments:read"),
    PAYMENTS_OF_ORDER,
    Documented("get_order_payments", "Payments of an order", OrderPayments, _ORDER_EXAMPLE, "536365"),
)
STORE_CREDITS: Final = ById(
    "/store-credits/{customer_id}",
    Owned("payments:read"),
    STORE_CREDIT,
    Documented("get_store_credit", "StoreCredit", StoreCreditDetails, _CREDIT_EXAMPLE, "17850"),
)
LEDGER: Final = ListOf(
    path="/payment-ledger",
    requires="ledger:read",
    view=payment_ledger,
    id_pattern=_POSTING_ID,
    filters=(
        by_value("order_id", "order_id", description="Only of this order.", example="536365"),
        *by_day("posted_at", said="Posted"),
    ),
    sorts=(
        Sort("posted_at", ("posted_at", "posting_id"), filters=("order_id", "from", "to")),
        Sort("posting_id", ("posting_id",)),
    ),
    documented=Listed(
        "list_payment_ledger",
        "PaymentLedgerPage",
        "Postings of the payments ledger, oldest first",
        "Two for each movement of money. All postings of a currency add up to zero, and so do those of an order. Those"
        " of store credit that is of no order have none.",
        _POSTING_EXAMPLE,
        example_ids=("pay-1~capture:parcel-1~provider", "pay-1~capture:parcel-1~buyer"),
    ),
)

QUERIES: Final = Queries(
    by_id=(PAYMENTS, OF_ORDERS, STORE_CREDITS),
    lists=(LISTED, LEDGER),
    includes=(Include(name="payments", into="/orders/{order_id}", shown=OF_ORDERS, ids=member("order_id")),),
)
