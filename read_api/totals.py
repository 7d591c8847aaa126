"""The sums of the whole shop, and its days, over views of several contexts, in one snapshot of all of them."""

import datetime as dt
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, Final

import msgspec
from fastapi import Query
from msgspec import Struct
from psycopg import sql
from psycopg.rows import dict_row
from starlette.responses import Response

from projections.identity.views import account_activity
from projections.inventory.views import stock_level
from projections.ordering.views import customer_totals, order_activity, sales_daily, sku_sales
from read_api import answers, parameters
from read_api.answers import Wished
from read_api.checkpoints import CheckpointSnapshot
from read_api.connections import AsyncConnection
from read_api.documentation import ALWAYS, FRESHNESS, SUM_HEADERS, responses
from read_api.reads import OpenReads, live
from read_api.routing import Queries
from runtime import rfc3339
from runtime.http.principal import requires

router = parameters.query_router("totals")

_VIEWS: Final = (sales_daily.name, customer_totals.name, sku_sales.name, stock_level.name)

_encode = msgspec.json.Encoder().encode

# Sums of bigint are numeric; no shop's sums leave 64 bits, so they are shown as plain integers.
_DAYS: Final = sql.SQL("""
select d.currency,
    sum(d.orders)::bigint as orders, sum(d.lines)::bigint as order_lines, sum(d.units)::bigint as units,
    sum(d.revenue)::bigint as revenue, sum(d.credit_notes)::bigint as credit_notes,
    sum(d.credit_lines)::bigint as credit_lines, sum(d.credited)::bigint as credited,
    count(distinct d.day) filter (where d.orders > 0) as days
from {table} d
where not d.deleted
group by d.currency
""")
_CUSTOMERS: Final = sql.SQL("""
select c.currency, count(*) as customers from {table} c where not c.deleted and c.orders > 0 group by c.currency
""")
_CODES: Final = sql.SQL("""
select c.currency, count(*) as codes_sold from {table} c where not c.deleted and c.units > 0 group by c.currency
""")
_STOCK: Final = sql.SQL("""
select coalesce(sum(s.adjustments), 0)::bigint as adjustments, coalesce(sum(s.on_hand), 0)::bigint as on_hand_total
from {table} s
where not s.deleted
""")


class Figures(Struct):
    """Sums and counts of one currency; all of them are shown, also those that are 0. Money is in minor units."""

    orders: int
    order_lines: int
    units: int
    revenue: int
    credit_notes: int
    credit_lines: int
    credited: int
    days: int
    customers: int
    codes_sold: int


class Totals(Struct):
    """Figures by currency, and sums of stock."""

    totals: dict[str, Figures]
    adjustments: int
    on_hand_total: int


_TOTALS_EXAMPLE: Final = {
    "totals": {
        "GBP": {
            "orders": 210,
            "order_lines": 1_840,
            "units": 12_020,
            "revenue": 3_412_055,
            "credit_notes": 4,
            "credit_lines": 9,
            "credited": 12_240,
            "days": 31,
            "customers": 143,
            "codes_sold": 190,
        }
    },
    "adjustments": 12,
    "on_hand_total": 8_311,
}


@router.get(
    "/totals",
    operation_id="get_totals",
    summary="Sums of the whole shop, per currency",
    response_class=Response,
    responses=responses(Totals, example=_TOTALS_EXAMPLE, headers=SUM_HEADERS, problems=ALWAYS),
    openapi_extra=FRESHNESS,
)
@requires("sales:read")
async def totals(*, reads: OpenReads, wish: Wished) -> Response:
    """`days`, `customers` and `codes_sold` count those with an order; money is in minor units."""
    wish = await reads.admission.admit(wish, views=_VIEWS)
    snapshot, body = await reads.snapshot(_read_totals)
    headers = answers.fresh_headers(snapshot, views=_VIEWS, wish=wish)
    return Response(_encode(body), media_type="application/json", headers=headers)


async def _read_totals(connection: AsyncConnection, snapshot: CheckpointSnapshot) -> dict[str, Any]:
    totals: dict[str, dict[str, int]] = {}
    for text, view in (
        (_DAYS, sales_daily.name),
        (_CUSTOMERS, customer_totals.name),
        (_CODES, sku_sales.name),
    ):
        for row in await _rows(connection, snapshot, text, view=view):
            totals.setdefault(row.pop("currency"), {}).update(row)
    [stock] = await _rows(connection, snapshot, _STOCK, view=stock_level.name)
    empty = dict.fromkeys(Figures.__struct_fields__, 0)
    return {"totals": {currency: empty | totals[currency] for currency in sorted(totals)}, **stock}


async def _rows(
    connection: AsyncConnection,
    snapshot: CheckpointSnapshot,
    text: sql.SQL,
    *,
    view: str,
    given: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    table = sql.Identifier("views", live(snapshot, view).id.table)
    statement = text.format(table=table, within=_WITHIN)
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(statement, given)
        return await cursor.fetchall()


# Days, in the time zone of the shop

DAYS_MAX: Final = 366
"""Days that one answer has at most."""

_OF_DAYS: Final = (order_activity.name, account_activity.name)

# The day of each row says whether it counts: in the Azores the clock goes back to midnight, so no one moment begins
# that day. The bound on the time of the key has its index read; no zone is a day apart from UTC.
_WITHIN: Final = sql.SQL("""
not t.deleted and (t.at at time zone %(zone)s)::date between %(first)s::date and %(last)s::date
and t.at >= (%(first)s::date - 1)::timestamp at time zone 'utc'
and t.at < (%(last)s::date + 2)::timestamp at time zone 'utc'
""")
_ORDERS_OF_DAYS: Final = sql.SQL("""
select (t.at at time zone %(zone)s)::date::text as day, t.currency,
    sum(t.placed)::bigint as placed, sum(t.placed_total)::bigint as placed_total,
    sum(t.confirmed)::bigint as confirmed, sum(t.confirmed_total)::bigint as confirmed_total,
    sum(t.cancelled)::bigint as cancelled, sum(t.cancelled_total)::bigint as cancelled_total
from {table} t where {within}
group by 1, 2 order by 1, 2
""")
_ACCOUNTS_OF_DAYS: Final = sql.SQL("""
select (t.at at time zone %(zone)s)::date::text as day,
    sum(t.registered)::bigint as registered, sum(t.closed)::bigint as closed
from {table} t where {within}
group by 1 order by 1
""")


class OrdersOfDay(Struct):
    """Orders of one day in one currency: how many were placed, confirmed and cancelled on it, and their totals."""

    placed: int
    placed_total: int
    confirmed: int
    confirmed_total: int
    cancelled: int
    cancelled_total: int


class AccountsOfDay(Struct):
    """Accounts that were registered and closed on one day."""

    registered: int
    closed: int


class Day(Struct):
    """One day on which there was anything; orders are by currency."""

    day: dt.date
    orders: dict[str, OrdersOfDay]
    accounts: AccountsOfDay


class Days(Struct):
    """Days in the time zone of the shop, oldest first."""

    time_zone: str
    days: list[Day]


_DAYS_EXAMPLE: Final = {
    "time_zone": "Europe/London",
    "days": [
        {
            "day": "2026-01-31",
            "orders": {
                "GBP": {
                    "placed": 12,
                    "placed_total": 41_240,
                    "confirmed": 11,
                    "confirmed_total": 39_710,
                    "cancelled": 1,
                    "cancelled_total": 1_530,
                }
            },
            "accounts": {"registered": 3, "closed": 0},
        }
    ],
}
_DAY: Final[dict[str, Any]] = {"pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"}


@router.get(
    "/totals/daily",
    operation_id="list_daily_totals",
    summary="Orders and accounts by day, in the time zone of the shop",
    response_class=Response,
    responses=responses(Days, example=_DAYS_EXAMPLE, headers=SUM_HEADERS, problems=ALWAYS),
    openapi_extra=FRESHNESS,
)
@requires("sales:read")
async def daily(
    *,
    reads: OpenReads,
    wish: Wished,
    first: Annotated[
        str,
        Query(alias="from", description="The first day.", examples=["2026-01-01"], json_schema_extra=_DAY),
    ],
    last: Annotated[
        str, Query(alias="to", description="The last day.", examples=["2026-01-31"], json_schema_extra=_DAY)
    ],
) -> Response:
    """At most 366 days; one on which nothing happened is left out. Money is in minor units."""
    begin, end = _day("from", first), _day("to", last)
    if end - begin >= dt.timedelta(days=DAYS_MAX):
        raise parameters.invalid_parameter("to", f"There are {DAYS_MAX} days at most")
    within = {"first": begin, "last": end, "zone": reads.time_zone}
    wish = await reads.admission.admit(wish, views=_OF_DAYS)
    snapshot, days = await reads.snapshot(partial(_read_days, within=within))
    headers = answers.fresh_headers(snapshot, views=_OF_DAYS, wish=wish)
    body = _encode({"time_zone": reads.time_zone, "days": days})
    return Response(body, media_type="application/json", headers=headers)


def _day(name: str, text: str) -> dt.date:
    try:
        return rfc3339.day(text)
    except ValueError as error:
        raise parameters.invalid_parameter(name, str(error)) from error


async def _read_days(
    connection: AsyncConnection, snapshot: CheckpointSnapshot, *, within: Mapping[str, Any]
) -> list[dict[str, Any]]:
    days: dict[str, dict[str, Any]] = {}

    def day(name: str) -> dict[str, Any]:
        nothing = dict.fromkeys(AccountsOfDay.__struct_fields__, 0)
        return days.setdefault(name, {"day": name, "orders": {}, "accounts": nothing})

    for row in await _rows(connection, snapshot, _ORDERS_OF_DAYS, view=order_activity.name, given=within):
        day(row.pop("day"))["orders"][row.pop("currency")] = row
    for row in await _rows(connection, snapshot, _ACCOUNTS_OF_DAYS, view=account_activity.name, given=within):
        day(row.pop("day"))["accounts"] = row
    return [days[name] for name in sorted(days)]


QUERIES: Final = Queries(router=router)
