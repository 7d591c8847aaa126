"""GET /v1/totals: the sums of the whole shop, over views of several contexts, in one snapshot of all of them."""

from typing import Any, Final

import msgspec
from msgspec import Struct
from psycopg import sql
from psycopg.rows import dict_row
from starlette.responses import Response

from projections.inventory.views import stock_level
from projections.ordering.views import customer_totals, sales_daily, sku_sales
from read_api import answers, parameters
from read_api.answers import Wished
from read_api.checkpoints import CheckpointSnapshot
from read_api.connections import AsyncConnection
from read_api.documentation import ALWAYS, FRESHNESS, SUM_HEADERS, responses
from read_api.reads import OpenReads, live
from read_api.routing import Queries
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
    connection: AsyncConnection, snapshot: CheckpointSnapshot, text: sql.SQL, *, view: str
) -> list[dict[str, Any]]:
    statement = text.format(table=sql.Identifier("views", live(snapshot, view).id.table))
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(statement)
        return await cursor.fetchall()


QUERIES: Final = Queries(router=router)
