"""How confirmed orders, their cancellations and credit notes change the sums of sales.

Every sum is an addition or its exact undoing, and a row that is back at zero is gone: a confirmed and cancelled
order leaves no trace in any of them.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime
from typing import Final

from msgspec.structs import replace

from domain.money import Currency
from domain.ordering.events import (
    CreditNoteIssued,
    OrderCancelled,
    OrderConfirmed,
    OrderPlaced,
    SkuTotal,
)
from projections.ordering.views import (
    CustomerTotals,
    OrderActivity,
    SalesDay,
    SkuSales,
    customer_totals,
    order_activity,
    sales_daily,
    sku_sales,
)
from projections.quarters import quarter_of
from projections.view import Key

Sale = OrderConfirmed | OrderCancelled


def _day(moment: datetime) -> date:
    return moment.astimezone(UTC).date()


# Sales by day, country and currency


def _day_of_sale(event: OrderConfirmed) -> Iterable[Key]:
    return ((_day(event.placed_at), event.country, event.currency),)


def _day_of_lost_sale(event: OrderCancelled) -> Iterable[Key]:
    return ((_day(event.placed_at), event.country, event.currency),) if event.was_confirmed else ()


def _day_of_credit(event: CreditNoteIssued) -> Iterable[Key]:
    return ((_day(event.issued_at), event.country, event.currency),)


def _day_with(day: SalesDay, event: Sale, *, sign: int) -> SalesDay | None:
    changed = replace(
        day,
        orders=day.orders + sign,
        lines=day.lines + sign * event.lines,
        units=day.units + sign * event.units,
        revenue=day.revenue + sign * event.total,
    )
    return changed if changed.orders or changed.credit_notes else None


@sales_daily.on(OrderConfirmed, keys=_day_of_sale)
def sold_that_day(day: SalesDay | None, event: OrderConfirmed) -> SalesDay | None:
    """A sale counts on the day it was asked for, not the day it was confirmed."""
    day = day or SalesDay(day=_day(event.placed_at), country=event.country, currency=event.currency)
    return _day_with(day, event, sign=1)


@sales_daily.on(OrderCancelled, keys=_day_of_lost_sale)
def taken_out_of_that_day(day: SalesDay, event: OrderCancelled) -> SalesDay | None:
    """The sale leaves the day it had counted on."""
    return _day_with(day, event, sign=-1)


@sales_daily.on(CreditNoteIssued, keys=_day_of_credit)
def credited_that_day(day: SalesDay | None, event: CreditNoteIssued) -> SalesDay:
    """A credit counts on its own day and leaves the sale as it is."""
    day = day or SalesDay(day=_day(event.issued_at), country=event.country, currency=event.currency)
    return replace(
        day,
        credit_notes=day.credit_notes + 1,
        credit_lines=day.credit_lines + len(event.lines),
        credited=day.credited + event.total,
    )


# Totals by customer and currency


def _customer(event: OrderConfirmed | CreditNoteIssued) -> Iterable[Key]:
    return () if event.customer_id is None else ((event.customer_id, event.currency),)


def _customer_of_lost_sale(event: OrderCancelled) -> Iterable[Key]:
    return ((event.customer_id, event.currency),) if event.was_confirmed and event.customer_id else ()


def _customer_with(totals: CustomerTotals, event: Sale, *, sign: int) -> CustomerTotals | None:
    changed = replace(
        totals,
        orders=totals.orders + sign,
        lines=totals.lines + sign * event.lines,
        units=totals.units + sign * event.units,
        revenue=totals.revenue + sign * event.total,
    )
    return changed if changed.orders or changed.credit_notes else None


def _totals_of(event: OrderConfirmed | CreditNoteIssued) -> CustomerTotals:
    assert event.customer_id is not None, "an anonymous sale has no row"
    return CustomerTotals(customer_id=event.customer_id, currency=event.currency)


@customer_totals.on(OrderConfirmed, keys=_customer)
def sold_to_customer(totals: CustomerTotals | None, event: OrderConfirmed) -> CustomerTotals | None:
    """A known customer bought."""
    return _customer_with(totals or _totals_of(event), event, sign=1)


@customer_totals.on(OrderCancelled, keys=_customer_of_lost_sale)
def taken_from_customer(totals: CustomerTotals, event: OrderCancelled) -> CustomerTotals | None:
    """The sale is taken out of the customer's totals."""
    return _customer_with(totals, event, sign=-1)


@customer_totals.on(CreditNoteIssued, keys=_customer)
def credited_to_customer(totals: CustomerTotals | None, event: CreditNoteIssued) -> CustomerTotals:
    """A known customer was credited."""
    totals = totals or _totals_of(event)
    return replace(totals, credit_notes=totals.credit_notes + 1, credited=totals.credited + event.total)


# Sales by SKU and currency


def _skus(event: OrderConfirmed | CreditNoteIssued) -> Iterator[tuple[Key, SkuTotal]]:
    return _by_sku(event.skus, currency=event.currency)


def _skus_of_lost_sale(event: OrderCancelled) -> Iterator[tuple[Key, SkuTotal]]:
    return _by_sku(event.skus if event.was_confirmed else (), currency=event.currency)


def _by_sku(totals: Iterable[SkuTotal], *, currency: Currency) -> Iterator[tuple[Key, SkuTotal]]:
    return (((part.sku, currency), part) for part in totals)


def _sku_with(sales: SkuSales, part: SkuTotal, *, sign: int) -> SkuSales | None:
    changed = replace(
        sales,
        orders=sales.orders + sign,
        units=sales.units + sign * part.units,
        revenue=sales.revenue + sign * part.total,
    )
    return changed if changed.orders or changed.credited_units else None


@sku_sales.on_each(OrderConfirmed, parts=_skus)
def sku_sold(sales: SkuSales | None, event: OrderConfirmed, part: SkuTotal) -> SkuSales | None:
    """All lines of the SKU in one order count together."""
    return _sku_with(sales or SkuSales(sku=part.sku, currency=event.currency), part, sign=1)


@sku_sales.on_each(OrderCancelled, parts=_skus_of_lost_sale)
def sku_not_sold(sales: SkuSales, _event: OrderCancelled, part: SkuTotal) -> SkuSales | None:
    """The order's part is taken out of the sales of its SKUs."""
    return _sku_with(sales, part, sign=-1)


@sku_sales.on_each(CreditNoteIssued, parts=_skus)
def sku_credited(sales: SkuSales | None, event: CreditNoteIssued, part: SkuTotal) -> SkuSales:
    """Credited pieces are counted next to what was sold, not taken from it."""
    sales = sales or SkuSales(sku=part.sku, currency=event.currency)
    return replace(
        sales, credited_units=sales.credited_units + part.units, credited=sales.credited + part.total
    )


# Orders by quarter of an hour and currency


def _activity(row: OrderActivity | None, event: OrderPlaced | Sale, at: datetime) -> OrderActivity:
    return row or OrderActivity(at=quarter_of(at), currency=event.currency)


@order_activity.on(OrderPlaced, keys=lambda event: ((quarter_of(event.placed_at), event.currency),))
def placed_then(row: OrderActivity | None, event: OrderPlaced) -> OrderActivity:
    """An order counts when it was placed, whatever becomes of it."""
    row = _activity(row, event, event.placed_at)
    return replace(row, placed=row.placed + 1, placed_total=row.placed_total + event.total)


@order_activity.on(OrderConfirmed, keys=lambda event: ((quarter_of(event.confirmed_at), event.currency),))
def confirmed_then(row: OrderActivity | None, event: OrderConfirmed) -> OrderActivity:
    """And once more when it was confirmed."""
    row = _activity(row, event, event.confirmed_at)
    return replace(row, confirmed=row.confirmed + 1, confirmed_total=row.confirmed_total + event.total)


@order_activity.on(OrderCancelled, keys=lambda event: ((quarter_of(event.cancelled_at), event.currency),))
def cancelled_then(row: OrderActivity | None, event: OrderCancelled) -> OrderActivity:
    """And when it was cancelled; what was counted before stays."""
    row = _activity(row, event, event.cancelled_at)
    return replace(row, cancelled=row.cancelled + 1, cancelled_total=row.cancelled_total + event.total)


VIEWS: Final = (customer_totals, sku_sales, sales_daily, order_activity)
