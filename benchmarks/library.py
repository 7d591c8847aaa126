"""The peer: the `eventsourcing` library with its own Postgres module, used as its documentation says."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from decimal import Decimal
from importlib.metadata import version
from typing import Any, Final
from uuid import UUID, uuid4

from eventsourcing.application import Application
from eventsourcing.dispatch import singledispatchmethod
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import StoredEvent, Tracking
from eventsourcing.postgres import PostgresDatastore, PostgresTrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner
from psycopg import conninfo
from psycopg.sql import SQL

NAME: Final = f"eventsourcing {version('eventsourcing')}"
POOL_MAX: Final = 16
LINES: Final = 5
SAVED_MAX: Final = 500
"""Events in one save: its recorder sends them all before it reads an answer, and with many both sides wait for ever."""
ROUNDS_PER_SAVE: Final = 10
WAIT_S_MAX: Final = 300.0
POLL_S: Final = 0.01


def environment(url: str) -> dict[str, str]:
    """The library's settings for a database."""
    given = conninfo.conninfo_to_dict(url)
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": str(given["dbname"]),
        "POSTGRES_HOST": str(given["host"]),
        "POSTGRES_PORT": str(given["port"]),
        "POSTGRES_USER": str(given["user"]),
        "POSTGRES_PASSWORD": str(given["password"]),
        "POSTGRES_POOL_SIZE": str(POOL_MAX),
        "POSTGRES_MAX_OVERFLOW": "0",
    }


class StockOfCode(Aggregate):
    """The stock of one code."""

    @event("Created")
    def __init__(self, sku: str) -> None:
        self.sku = sku
        self.reserved = 0

    @event("Reserved")
    def reserve(self, quantity: int, order_id: str) -> None:  # noqa: ARG002 - the library takes attributes from it
        """Promise pieces to an order."""
        self.reserved += quantity


class CustomerOrder(Aggregate):
    """An order whose first event carries its lines."""

    @event("Placed")
    def __init__(
        self,
        order_id: str,
        customer_id: str | None,
        placed_at: datetime,
        country: str,
        currency: str,
        lines: list[dict[str, object]],
        total: Decimal,
    ) -> None:
        self.order_id = order_id
        self.customer_id = customer_id
        self.placed_at = placed_at
        self.country = country
        self.currency = currency
        self.lines = lines
        self.total = total


class Shop(Application[UUID]):
    """The library's application."""


def append_rate(url: str, *, callers: int, seconds: float, type_name: str, state: bytes) -> float:
    """Events a second that so many threads append through the application's recorder, one a call."""
    app = Shop(environment(url))
    try:
        end = time.perf_counter() + seconds

        def call(_: int) -> int:
            done = 0
            while time.perf_counter() < end:
                app.recorder.insert_events([StoredEvent(uuid4(), 1, type_name, state)])
                done += 1
            return done

        with ThreadPoolExecutor(callers) as pool:
            return sum(pool.map(call, range(callers))) / seconds
    finally:
        app.close()


class StockLevels(PostgresTrackingRecorder):
    """A view of stock: one row a code, changed in the transaction that tracks the position."""

    def __init__(self, datastore: PostgresDatastore, **settings: Any) -> None:
        super().__init__(datastore, **settings)
        self.sql_create_statements.append(
            SQL(
                "create table if not exists library_stock_level (sku uuid primary key, reserved bigint not null)"
            ).format()
        )

    def reserve(self, sku: UUID, quantity: int, tracking: Tracking) -> None:
        """Add to what is reserved."""
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            cursor.execute(
                "insert into library_stock_level values (%s, %s) on conflict (sku)"
                " do update set reserved = library_stock_level.reserved + excluded.reserved",
                (sku, quantity),
            )


class OrderDetails(PostgresTrackingRecorder):
    """A view of orders: one row an order."""

    def __init__(self, datastore: PostgresDatastore, **settings: Any) -> None:
        super().__init__(datastore, **settings)
        self.sql_create_statements.append(
            SQL(
                "create table if not exists library_order_details"
                " (order_id text primary key, country text, lines text)"
            ).format()
        )

    def place(self, order_id: str, country: str, lines: str, tracking: Tracking) -> None:
        """Write an order down."""
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            cursor.execute(
                "insert into library_order_details values (%s, %s, %s) on conflict (order_id)"
                " do update set lines = excluded.lines",
                (order_id, country, lines),
            )


class StockProjection(Projection[StockLevels]):
    """Projects movements of stock."""

    @singledispatchmethod
    def process_event(self, domain_event: Any, tracking: Tracking) -> None:  # noqa: ARG002 - chosen by its type
        """Everything but reservations is only tracked."""
        self.view.insert_tracking(tracking)

    @process_event.register
    def _(self, domain_event: StockOfCode.Reserved, tracking: Tracking) -> None:  # type: ignore[name-defined]
        self.view.reserve(domain_event.originator_id, domain_event.quantity, tracking)


class OrderProjection(Projection[OrderDetails]):
    """Projects orders."""

    @singledispatchmethod
    def process_event(self, domain_event: Any, tracking: Tracking) -> None:  # noqa: ARG002 - chosen by its type
        """Everything but orders placed is only tracked."""
        self.view.insert_tracking(tracking)

    @process_event.register
    def _(self, domain_event: CustomerOrder.Placed, tracking: Tracking) -> None:  # type: ignore[name-defined]
        self.view.place(domain_event.order_id, domain_event.country, str(domain_event.lines), tracking)


def a_customer_order(number: int) -> CustomerOrder:
    """An order of five lines."""
    return CustomerOrder(
        order_id=f"order {number}",
        customer_id="17850",
        placed_at=datetime(2026, 1, 31, 12),  # noqa: DTZ001 - its transcoder keeps no zone
        country="United Kingdom",
        currency="GBP",
        lines=[
            {"line_id": line, "sku": f"2000{line}A", "quantity": 3, "unit_price": "2.55", "total": "7.65"}
            for line in range(1, LINES + 1)
        ],
        total=Decimal("38.25"),
    )


def fill_stock(url: str, *, events: int, codes: int = 50) -> int:
    """Record movements of stock; the last notification's id."""
    app = Shop(environment(url))
    try:
        items = [StockOfCode(sku=f"2000{number}A") for number in range(codes)]
        for number in range(max(1, events // codes)):
            for item in items:
                item.reserve(quantity=3, order_id=f"order {number}")
            if not number % ROUNDS_PER_SAVE:
                app.save(*items)
        app.save(*items)
        return app.recorder.max_notification_id() or 0
    finally:
        app.close()


def fill_orders(url: str, *, orders: int) -> int:
    """Record orders of five lines; the last notification's id."""
    app = Shop(environment(url))
    try:
        for start in range(0, orders, SAVED_MAX):
            last = min(start + SAVED_MAX, orders)
            app.save(*(a_customer_order(number) for number in range(start, last)))
        return app.recorder.max_notification_id() or 0
    finally:
        app.close()


def projected(url: str, *, last: int, orders: bool) -> float:
    """Events a second that the library's projection runner applies, from its start to the last notification."""
    started = time.perf_counter()
    runner: ProjectionRunner[Shop, Any] = ProjectionRunner(
        application_class=Shop,
        projection_class=OrderProjection if orders else StockProjection,
        view_class=OrderDetails if orders else StockLevels,
        env=environment(url),
    )
    with runner:
        while (runner.view.max_tracking_id(runner.app_name) or 0) < last:
            assert time.perf_counter() - started < WAIT_S_MAX, "the runner does not come to the end"
            time.sleep(POLL_S)
        return last / (time.perf_counter() - started)


def replay_rate(url: str, *, page: int = 5_000) -> float:
    """Events a second of the whole log, read in pages and decoded by the library's mapper."""
    app = Shop(environment(url))
    try:
        started, after, seen = time.perf_counter(), 0, 0
        while notifications := app.recorder.select_notifications(start=after + 1, limit=page):
            for notification in notifications:
                app.mapper.to_domain_event(notification)
            after = notifications[-1].id
            seen += len(notifications)
        return seen / (time.perf_counter() - started)
    finally:
        app.close()
