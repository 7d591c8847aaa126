"""What can be asked about orders, and about sales by customer, SKU and day."""

from collections.abc import Sequence
from types import GenericAlias
from typing import Annotated, Any, Final

import msgspec
from fastapi import Path, Query
from msgspec import Struct
from starlette.responses import Response

from projections.ordering.views import (
    CustomerTotals,
    OrderContact,
    OrderDetails,
    OrderHistory,
    SkuSales,
    customer_totals,
    order_contact,
    order_details,
    order_history,
    order_summary,
    sales_daily,
    sku_sales,
)
from projections.view import Row
from read_api import parameters
from read_api.audit.proofs import OpenProofs, of_stream, receipt_responses
from read_api.lists.declaring import Listed, ListOf, Sort, by_day, by_value
from read_api.reading.resource import Resource, RowDict, only_row
from read_api.reads import OnlyOf, OpenReads
from read_api.routing import ById, Documented, Queries
from runtime.http.principal import Owned, requires


def _shape_by_currency(row: type[Row], name: str, *, owner: str, member: str) -> type[Struct]:
    """The shape of what `_by_currency` shows of such rows."""
    fields = msgspec.structs.fields(row)
    figures = [(each.name, each.type) for each in fields if each.name not in {owner, "currency"}]
    shown = msgspec.defstruct(f"{name}Figures", figures)
    return msgspec.defstruct(name, [(owner, str), (member, GenericAlias(dict, (str, shown)))])


def _by_currency(owner: str, member: str, rows: Sequence[RowDict]) -> dict[str, Any]:
    """Rows of one owner, a member per currency; owner and currency are not repeated inside."""
    shown = {
        row["currency"]: {name: value for name, value in row.items() if name not in (owner, "currency")}
        for row in sorted(rows, key=lambda row: str(row["currency"]))
    }
    return {owner: rows[0][owner], member: shown}


ORDER: Final = Resource(noun="order", view=order_details, render=only_row, owner="customer_id")
CONTACT: Final = Resource(
    noun="order with contact data", view=order_contact, render=only_row, owner="customer_id"
)
HISTORY: Final = Resource(noun="order", view=order_history, render=only_row, owner="customer_id")
CUSTOMER: Final = Resource(
    noun="customer with an order",
    view=customer_totals,
    render=lambda _, rows: _by_currency("customer_id", "totals", rows),
)
SKU: Final = Resource(
    noun="SKU with a sale",
    view=sku_sales,
    render=lambda _, rows: _by_currency("sku", "sales", rows),
)

_SUMMARY_EXAMPLE: Final = {
    "order_id": "536365",
    "customer_id": "17850",
    "status": "confirmed",
    "placed_at": "2026-01-31T08:26:00Z",
    "country": "GB",
    "currency": "GBP",
    "total": 13_912,
    "lines": 7,
}
_ORDER_EXAMPLE: Final = {
    "order_id": "536365",
    "status": "shipped",
    "customer_id": "17850",
    "country": "GB",
    "currency": "GBP",
    "placed_at": "2026-01-31T08:26:00Z",
    "total": 1_530,
    "units": 6,
    "lines": [
        {"line_id": 1, "sku": "85123A", "quantity": 6, "unit_price": "2.55", "total": 1_530, "stocked": True}
    ],
    "confirmed_at": "2026-01-31T08:26:01Z",
    "cancelled_at": None,
    "cancellation_reason": None,
    "shipped_at": "2026-01-31T11:02:40Z",
    "rejected_at": None,
    "rejection_reason": None,
    "missing": None,
}
_STEP: Final = {"step": "", "at": "", "amount": None, "payment_id": None, "hold": None, "sku": None}
_HISTORY_EXAMPLE: Final = {
    "order_id": "536365",
    "customer_id": "17850",
    "status": "shipped",
    "payment": "captured",
    "fulfilment": "shipped",
    "placed_at": "2026-01-31T08:26:00Z",
    "country": "GB",
    "currency": "GBP",
    "total": 1_360,
    "held": 0,
    "captured": 1_360,
    "returned": 0,
    "disputed": 0,
    "asked": 0,
    "credit_held": 0,
    "credit_spent": 0,
    "credit_returned": 0,
    "discounts": [{"line_id": 1, "amount": 170}],
    "promotions": [{"promotion_id": "spring", "code": "SPRING10", "amount": 170}],
    "prices": [{"line_id": 1, "list_id": "retail", "price_id": "retail-1"}],
    "tax": {
        "jurisdiction": "GB",
        "amount": 227,
        "included": 227,
        "remainder": 0,
        "lines": [
            {"line_id": 1, "tax_category": "standard", "rate_bp": 2_000, "included": True, "amount": 227}
        ],
    },
    "rounding": {"mode": "half_even", "level": "line"},
    "holds": [],
    "timeline": [
        {**_STEP, "step": "placed", "at": "2026-01-31T08:26:00Z", "amount": 1_360},
        {
            **_STEP,
            "step": "payment_captured",
            "at": "2026-01-31T11:02:41Z",
            "amount": 1_360,
            "payment_id": "pay-1",
        },
    ],
}
_CONTACT_EXAMPLE: Final = {
    "order_id": "536365",
    "customer_id": "17850",
    "name": {"shown": "plain", "text": "Ada Lovelace"},
    "email": {"shown": "mask", "text": "a…@e….org"},
    "address": {"shown": "sealed", "text": None},
}
_SUMS: Final = {
    "orders": 3,
    "lines": 12,
    "units": 64,
    "revenue": 41_240,
    "credit_notes": 1,
    "credited": 1_530,
}
_SALES: Final = {"orders": 210, "units": 1_900, "revenue": 484_500, "credited_units": 6, "credited": 1_530}
_DAY_EXAMPLE: Final = {"day": "2026-01-31", "country": "GB", "currency": "GBP", **_SUMS, "credit_lines": 1}
_OF_CUSTOMER: Final = by_value(
    "customer",
    "customer_id",
    description="Only of this customer.",
    example="17850",
    pattern=parameters.ID_PATTERN,
    few=True,
)

ORDERS: Final = ListOf(
    path="/orders",
    requires=Owned("orders:read"),
    owner="customer_id",
    view=order_summary,
    filters=(
        _OF_CUSTOMER,
        by_value("status", "status", description="Only with this status.", example="confirmed"),
        by_value(
            "country",
            "country",
            description="Only to this country.",
            example="GB",
        ),
        *by_day("placed_at", said="Placed"),
    ),
    sorts=(
        Sort(
            "placed_at",
            ("placed_at", "order_id"),
            filters=("customer", "status", "country", "from", "to"),
            falling=True,
        ),
    ),
    documented=Listed(
        "list_orders",
        "OrdersPage",
        "Orders, newest first",
        "Orders that come in while paging never shift a page.",
        _SUMMARY_EXAMPLE,
        example_ids=("536365", "536366"),
    ),
)
HISTORIES: Final = ListOf(
    path="/order-history",
    requires=Owned("orders:read"),
    owner="customer_id",
    view=order_history,
    filters=(
        _OF_CUSTOMER,
        by_value("status", "status", description="Only orders with this status.", example="confirmed"),
        by_value("payment", "payment", description="Only orders paid so far.", example="captured"),
        by_value("fulfilment", "fulfilment", description="Only orders sent so far.", example="unfulfilled"),
        *by_day("placed_at", said="Placed"),
    ),
    sorts=(
        Sort(
            "placed_at",
            ("placed_at", "order_id"),
            filters=("customer", "payment", "fulfilment", "from", "to"),
            falling=True,
        ),
        Sort("status", ("status", "placed_at", "order_id"), filters=("status", "from", "to"), falling=True),
    ),
    documented=Listed(
        "list_order_history",
        "OrderHistoryPage",
        "Orders with their timelines, by where order, payment and parcel stand",
        "`payment=captured&fulfilment=unfulfilled` are those that are paid and still to be sent, `fulfilment=held`"
        " those that are not to be sent yet, and `payment=captured&fulfilment=none` those whose money is to go back:"
        " they are off, or their parcel was lost and is not sent again.",
        _HISTORY_EXAMPLE,
        example_ids=("536365", "536366"),
    ),
)
DAILY_SALES: Final = ListOf(
    path="/sales/daily",
    requires="sales:read",
    view=sales_daily,
    filters=(
        by_value(
            "country",
            "country",
            description="Only this country.",
            example="GB",
        ),
        *by_day("day", said="Sold or credited"),
    ),
    sorts=(Sort("day", ("day", "country", "currency"), filters=("country", "from", "to")),),
    documented=Listed(
        "list_daily_sales",
        "DailySalesPage",
        "Sales and credits by UTC day, country and currency, oldest first",
        "An order counts on the day it was placed, once it is confirmed; a credit note on the day it was issued.",
        _DAY_EXAMPLE,
    ),
)

router = parameters.query_router("ordering")


@router.get(
    "/orders/{order_id}/receipt",
    operation_id="get_order_receipt",
    summary="A receipt for an order",
    response_class=Response,
    responses=receipt_responses(
        "The event, its place in the log's tree and a signed checkpoint (c2sp.org/tlog-proof)."
    ),
)
@requires(Owned("orders:read"))
async def receipt(
    proofs: OpenProofs,
    reads: OpenReads,
    only_of: OnlyOf,
    order_id: Annotated[str, Path(pattern=parameters.ID_PATTERN, examples=["536365"])],
    version: Annotated[
        int,
        Query(
            ge=1, le=parameters.POSITION_MAX, description="Which event of the order; 1: that it was placed."
        ),
    ] = 1,
) -> Response:
    """It proves to everybody with the log's public key that this was recorded, also when this server is gone."""
    if only_of is not None:
        await reads.require_own(ORDER, order_id, owner=only_of)
    return await proofs.receipt(of_stream(f"{order_details.category}-{order_id}", version=version))


QUERIES: Final = Queries(
    by_id=(
        ById(
            "/orders/{order_id}",
            Owned("orders:read"),
            ORDER,
            Documented("get_order", "Order", OrderDetails, _ORDER_EXAMPLE, "536365"),
        ),
        ById(
            "/orders/{order_id}/history",
            Owned("orders:read"),
            HISTORY,
            Documented(
                "get_order_history", "What became of an order", OrderHistory, _HISTORY_EXAMPLE, "536365"
            ),
        ),
        ById(
            "/orders/{order_id}/contact",
            Owned("orders:read"),
            CONTACT,
            Documented(
                "get_order_contact", "Contact data of an order", OrderContact, _CONTACT_EXAMPLE, "536365"
            ),
        ),
        ById(
            "/customers/{customer_id}/totals",
            "sales:read",
            CUSTOMER,
            Documented(
                "get_customer_totals",
                "Totals of one customer, per currency",
                _shape_by_currency(CustomerTotals, "TotalsOfCustomer", owner="customer_id", member="totals"),
                {"customer_id": "17850", "totals": {"GBP": _SUMS}},
                "17850",
            ),
        ),
        ById(
            "/skus/{sku}/sales",
            "sales:read",
            SKU,
            Documented(
                "get_sku_sales",
                "Sales of one SKU, per currency",
                _shape_by_currency(SkuSales, "SalesOfSku", owner="sku", member="sales"),
                {"sku": "85123A", "sales": {"GBP": _SALES}},
                "85123A",
            ),
        ),
    ),
    lists=(ORDERS, HISTORIES, DAILY_SALES),
    router=router,
)
