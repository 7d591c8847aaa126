"""The query API's hot reads stay on their indexes: their plans on builds of 20,000 rows, after `analyze`."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from typing import Any, Final

import psycopg
import pytest
from psycopg import sql

from counterfoil.contexts import CONTEXTS
from projections import builds
from projections.storing import BuildId
from projections.view import Row, View
from read_api import ordering
from read_api.reading import rows
from runtime import database
from tests.architecture.test_plans import plan

ROWS: Final = 20_000
LONG_AGO: Final = datetime(2020, 1, 1, 1, tzinfo=UTC)

FILL_ORDERS: Final = """
insert into views.order_summary_s1_b1
    (order_id, customer_id, status, placed_at, country, currency, total, lines, position)
select 'order-' || n, 'customer-' || n %% 20, case n %% 4 when 0 then 'placed' else 'shipped' end,
    '2020-01-01'::timestamptz + n * interval '1 minute', 'Italy', 'GBP', n, 1, n
from generate_series(1, %(rows)s) n
"""
FILL_STOCK: Final = """
insert into views.stock_level_s1_b1
    (sku, on_hand, reserved, available, received, adjusted, adjustments, shipped, returned, position)
select 'code-' || n, 1, 0, 1, 1, 0, 0, 0, 0, n from generate_series(1, %(rows)s) n
"""
FILL_DAYS: Final = """
insert into views.sales_daily_s1_b1
    (day, country, currency, orders, lines, units, revenue, credit_notes, credit_lines, credited, position)
select '2020-01-01'::date + n / 20, 'country ' || n %% 20, 'GBP', 1, 1, 1, 1, 0, 0, 0, n
from generate_series(1, %(rows)s) n
"""

CUSTOMER: Final = {"customer": "customer-7", "limit": 21}
STATUS: Final = {"status": "shipped", "limit": 21}
PLACE: Final = {"placed_at": datetime(2020, 1, 8, tzinfo=UTC), "order_id": "order-10080"}
DAY: Final = {
    "after_day": date(2021, 1, 1),
    "after_country": "country 3",
    "after_currency": "GBP",
    "limit": 21,
}

LISTS: Final = {
    "orders of a customer": (ordering._ORDERS, [ordering._OF_CUSTOMER], CUSTOMER, "order_summary"),
    "the next page of them": (
        ordering._ORDERS,
        [ordering._OF_CUSTOMER, ordering._OLDER],
        CUSTOMER | PLACE,
        "order_summary",
    ),
    "orders with a status": (ordering._ORDERS, [ordering._WITH_STATUS], STATUS, "order_summary"),
    "the next page of those": (
        ordering._ORDERS,
        [ordering._WITH_STATUS, ordering._OLDER],
        STATUS | PLACE,
        "order_summary",
    ),
    "days": (ordering._DAYS, [], {"limit": 21}, "sales_daily"),
    "the next page of days": (ordering._DAYS, [ordering._LATER], DAY, "sales_daily"),
    "days from one on": (
        ordering._DAYS,
        [ordering._FROM],
        {"from": date(2022, 1, 1), "limit": 21},
        "sales_daily",
    ),
}


@pytest.fixture(scope="module")
def filled(new_database: Callable[[], str]) -> Iterator[psycopg.Connection]:
    url = new_database()
    with database.connect(url, role="counterfoil_projector", name="test") as connection:
        builds.ensure_builds(connection, CONTEXTS.views)
        for statement in (FILL_ORDERS, FILL_STOCK, FILL_DAYS):
            connection.execute(statement, {"rows": ROWS})
        for name in ("order_summary", "stock_level", "sales_daily"):
            connection.execute(f"analyze views.{name}_s1_b1")
        yield connection


@pytest.mark.parametrize("question", LISTS)
def test_a_page_of_a_list_reads_its_index_in_order(question: str, filled: psycopg.Connection):
    text, filters, given, view = LISTS[question]
    table = sql.Identifier("views", f"{view}_s1_b1")
    statement = text.format(table=table, filters=sql.SQL("").join(filters))

    used, scanned = plan(filled, statement.as_string(filled), given)

    assert 1 == len(used)
    assert set() == scanned
    assert not sorts(filled, statement, given)


def test_reading_by_key_uses_the_key(filled: psycopg.Connection):
    (view,) = [view for view in CONTEXTS.views if view.name == "stock_level"]
    statement = by_key(view, filled)

    used, scanned = plan(
        filled, statement, {"keys": ["code-7", "code-8"], "partition_keys": ["stock-code-7"]}
    )

    assert "stock_level_s1_b1_pkey" in used
    assert "stock_level_s1_b1" not in scanned


def test_a_list_without_its_index_is_noticed(filled: psycopg.Connection):
    statement = sql.SQL("select order_id from views.order_summary_s1_b1 order by total limit 20")

    assert sorts(filled, statement, {})


def by_key(view: View[Row], connection: psycopg.Connection) -> str:
    columns = [(column.name, column.is_json) for column in view.columns]
    composed = rows._by_key(BuildId(view.name, view.shape, 1), columns, key=view.key[0])
    return composed.as_string(connection)


def sorts(connection: psycopg.Connection, statement: sql.Composable, given: Any) -> bool:
    """Whether the plan gathers rows and sorts them, instead of reading them in order."""
    lines = connection.execute(sql.SQL("explain ") + statement, given).fetchall()
    return any("Sort" in line for (line,) in lines)
