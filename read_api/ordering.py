"""What can be asked about orders, and about sales by customer, SKU and day."""

from collections.abc import Sequence
from datetime import date, datetime
from types import GenericAlias
from typing import Annotated, Any, Final, TypeVar, get_args

import msgspec
from fastapi import Query, Request
from msgspec import Struct
from psycopg import sql
from psycopg.rows import dict_row
from starlette.responses import Response

from projections.ordering.views import (
    CustomerTotals,
    OrderDetails,
    OrderSummary,
    SalesDay,
    SkuSales,
    Status,
    customer_totals,
    order_details,
    order_summary,
    sales_daily,
    sku_sales,
)
from projections.view import Row
from read_api import freshness, lists, parameters
from read_api.connections import AsyncConnection
from read_api.documentation import ALWAYS, FRESHNESS, LIST_HEADERS, responses
from read_api.lists import Wished
from read_api.parameters import Cursor, Day, Limit, invalid_parameter
from read_api.reading.resource import Resource, RowDict, only_row
from read_api.reads import OpenReads, Read, live
from read_api.routing import ById, Documented, Queries
from read_api.standing import Look
from runtime.http.principal import requires
from runtime.pagination import MalformedCursor, decode_cursor
from runtime.problems import ProblemError

Place = TypeVar("Place")

router = parameters.query_router("ordering")


class OrdersPage(Struct):
    """One page of orders."""

    items: list[OrderSummary]
    next_cursor: str | None


class DailySalesPage(Struct):
    """One page of days."""

    items: list[SalesDay]
    next_cursor: str | None


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


ORDER: Final = Resource(noun="order", view=order_details, render=only_row)
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

_ORDERS: Final = sql.SQL("""
select o.order_id, o.customer_id, o.status, o.placed_at, o.country, o.currency, o.total, o.lines
from {table} o
where not o.deleted{filters}
order by o.placed_at desc, o.order_id desc
limit %(limit)s
""")
_OF_CUSTOMER: Final = sql.SQL(" and o.customer_id = %(customer)s")
_WITH_STATUS: Final = sql.SQL(" and o.status = %(status)s")
_OLDER: Final = sql.SQL(" and (o.placed_at, o.order_id) < (%(placed_at)s, %(order_id)s)")

_DAYS: Final = sql.SQL("""
select d.day, d.country, d.currency, d.orders, d.lines, d.units, d.revenue, d.credit_notes, d.credit_lines, d.credited
from {table} d
where not d.deleted{filters}
order by d.day, d.country, d.currency
limit %(limit)s
""")
_FROM: Final = sql.SQL(" and d.day >= %(from)s")
_TO: Final = sql.SQL(" and d.day <= %(to)s")
_IN_COUNTRY: Final = sql.SQL(" and d.country = %(country)s")
_LATER: Final = sql.SQL(
    " and (d.day, d.country, d.currency) > (%(after_day)s, %(after_country)s, %(after_currency)s)"
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


@router.get(
    "/orders",
    operation_id="list_orders",
    summary="Orders of a customer or with a status, newest first",
    response_class=Response,
    responses=responses(
        OrdersPage,
        example={"items": [_SUMMARY_EXAMPLE], "next_cursor": None},
        headers=LIST_HEADERS,
        problems=("malformed-cursor", *ALWAYS),
    ),
    openapi_extra=FRESHNESS,
)
@requires("orders:read")
async def orders(
    request: Request,
    *,
    reads: OpenReads,
    wish: Wished,
    customer: Annotated[
        str | None,
        Query(pattern=parameters.ID_PATTERN, description="Only of this customer.", examples=["17850"]),
    ] = None,
    status: Annotated[
        Status | None, Query(description="Only with this status.", examples=["confirmed"])
    ] = None,
    limit: Limit = parameters.LIMIT_DEFAULT,
    cursor: Cursor = None,
) -> Response:
    """At least one of `customer` and `status` is needed. Orders that come in while paging never shift a page."""
    if customer is None and status is None:
        raise invalid_parameter("customer", f"Name a customer, or a status: {', '.join(get_args(Status))}")
    views = (order_summary.name,)
    scope = lists.scope_of(request, customer=customer, status=status)
    given: dict[str, object] = {"customer": customer, "status": status, "limit": limit + 1}
    filters = [_OF_CUSTOMER] * (customer is not None) + [_WITH_STATUS] * (status is not None)
    if cursor is not None:
        given["placed_at"], given["order_id"] = _place(cursor, scope=scope, place=tuple[datetime, str])
        filters.append(_OLDER)
    await freshness.admit(wish, reads.watch, views=views)
    look, rows = await reads.snapshot(_select(_ORDERS, filters, given, view=order_summary.name))
    page = lists.page_of(rows, limit=limit, place=("placed_at", "order_id"))
    return lists.page_response(request, page, look=look, views=views, wish=wish, scope=scope)


@router.get(
    "/sales/daily",
    operation_id="list_daily_sales",
    summary="Sales and credits by UTC day, country and currency, oldest first",
    response_class=Response,
    responses=responses(
        DailySalesPage,
        example={"items": [_DAY_EXAMPLE], "next_cursor": None},
        headers=LIST_HEADERS,
        problems=("malformed-cursor", *ALWAYS),
    ),
    openapi_extra=FRESHNESS,
)
@requires("sales:read")
async def daily_sales(
    request: Request,
    *,
    reads: OpenReads,
    wish: Wished,
    first: Annotated[
        Day | None, Query(alias="from", description="First day shown.", examples=["2026-01-01"])
    ] = None,
    last: Annotated[
        Day | None, Query(alias="to", description="Last day shown.", examples=["2026-01-31"])
    ] = None,
    country: Annotated[
        str | None,
        Query(pattern=parameters.COUNTRY_PATTERN, description="Only this country.", examples=["GB"]),
    ] = None,
    limit: Limit = parameters.LIMIT_DEFAULT,
    cursor: Cursor = None,
) -> Response:
    """An order counts on the day it was placed, once it is confirmed; a credit note on the day it was issued."""
    views = (sales_daily.name,)
    scope = lists.scope_of(request, first=first, last=last, country=country)
    given: dict[str, object] = {"from": first, "to": last, "country": country, "limit": limit + 1}
    asked = ((_FROM, first), (_TO, last), (_IN_COUNTRY, country))
    filters = [text for text, value in asked if value is not None]
    if cursor is not None:
        place = _place(cursor, scope=scope, place=tuple[date, str, str])
        given["after_day"], given["after_country"], given["after_currency"] = place
        filters.append(_LATER)
    await freshness.admit(wish, reads.watch, views=views)
    look, rows = await reads.snapshot(_select(_DAYS, filters, given, view=sales_daily.name))
    page = lists.page_of(rows, limit=limit, place=("day", "country", "currency"))
    return lists.page_response(request, page, look=look, views=views, wish=wish, scope=scope)


def _select(
    text: sql.SQL, filters: Sequence[sql.SQL], given: dict[str, object], *, view: str
) -> Read[list[RowDict]]:
    """A read of one page of the view's live build, with one row more to see whether there is a next page."""

    async def read(connection: AsyncConnection, look: Look) -> list[RowDict]:
        table = sql.Identifier("views", live(look, view).id.table)
        statement = text.format(table=table, filters=sql.SQL("").join(filters))
        async with connection.cursor(binary=True, row_factory=dict_row) as cursor:
            await cursor.execute(statement, given)
            return await cursor.fetchall()

    return read


def _place(cursor: str, *, scope: str, place: type[Place]) -> Place:
    try:
        return decode_cursor(cursor, scope=scope, place=place)
    except MalformedCursor as error:
        raise ProblemError(
            "malformed-cursor", "The cursor is not one of this list with these filters."
        ) from error


QUERIES: Final = Queries(
    by_id=(
        ById(
            "/orders/{order_id}",
            "orders:read",
            ORDER,
            Documented("get_order", "Order", OrderDetails, _ORDER_EXAMPLE, "536365"),
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
    router=router,
)
