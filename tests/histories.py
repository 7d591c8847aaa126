"""Histories that could have happened: a small shop decides at random, by the product's own decisions, from a seed."""

import random
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct

from domain.catalogue import product
from domain.event import Event
from domain.ids import CreditNoteId, CustomerId, OrderId, Sku
from domain.inventory import stock_item
from domain.inventory.stock_item import StockItem
from domain.money import Currency, UnitPrice
from domain.ordering import credit_note, order
from domain.ordering.events import Shortage
from domain.ordering.lines import LineRequest
from domain.ordering.order import Order, Status
from domain.rejection import Rejection
from domain.shipping import shipment
from domain.shipping.events import Content
from domain.shipping.shipment import Shipment
from tests.examples import LONG_AGO, NOW

CODES = tuple(Sku(code) for code in ("10002", "22423", "71053", "84029E", "85123A", "85123a"))
SERVICES = tuple(Sku(code) for code in ("POST", "DOT"))
COUNTRIES = ("United Kingdom", "EIRE", "France")


class Recorded(Struct, frozen=True):
    """An event and the stream it went to."""

    stream: str
    event: Event


class Shop:
    """Decides, records and remembers. Everything follows from the seed."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.log: list[Recorded] = []
        self.stock: dict[Sku, StockItem] = {}
        self.orders: dict[OrderId, Order] = {}
        self.notes = 0

    def open(self) -> None:
        """Offer every code, and receive some of what can be counted."""
        for sku in (*CODES, *SERVICES):
            stocked = sku in CODES
            price = None if sku == "DOT" else UnitPrice("2.55")
            currency = None if price is None else Currency("GBP")
            created = product.create(
                None, sku=sku, title=sku, stocked=stocked, unit_price=price, currency=currency, now=NOW
            )
            self._record(product.PRODUCT.stream(sku), created)
            if stocked and self.chance.random() < 0.9:
                self._move(stock_item.receive, sku=sku, quantity=self.chance.randint(5, 60), reference="")

    def trade(self) -> None:
        """Do one thing that shops do; what is refused leaves nothing behind."""
        step = self.chance.choice(
            (
                self._place,
                self._place,
                self._fulfil,
                self._fulfil,
                self._cancel,
                self._ship,
                self._credit,
                self._count,
            )
        )
        step()

    def _place(self) -> None:
        placed = order.place(
            None,
            order_id=OrderId(str(len(self.orders) + 1)),
            customer_id=self._customer(),
            placed_at=self._moment(),
            country=self.chance.choice(COUNTRIES),
            currency=self._currency(),
            lines=self._lines(),
        )
        self._decide(OrderId(str(len(self.orders) + 1)), placed)

    def _fulfil(self) -> None:
        """Confirm with every stocked code reserved, or reject with what is missing."""
        current = self._any_order(Status.PLACED)
        if current is None:
            return
        wanted = {code.sku: code.units for code in current.skus if code.stocked}
        missing = [
            Shortage(sku=sku, requested=units, available=self._available(sku))
            for sku, units in wanted.items()
            if units > self._available(sku)
        ]
        if missing:
            decided = order.reject(current, order_id=current.order_id, missing=missing, now=NOW)
        else:
            for sku, units in wanted.items():
                self._move(stock_item.reserve, sku=sku, quantity=units, order_id=current.order_id)
            decided = order.confirm(current, order_id=current.order_id, now=NOW)
        self._decide(current.order_id, decided)

    def _cancel(self) -> None:
        current = self._any_order(Status.PLACED, Status.CONFIRMED)
        if current is None:
            return
        decided = order.cancel(current, order_id=current.order_id, reason="customer", now=NOW)
        self._decide(current.order_id, decided)
        if current.status is Status.CONFIRMED:
            for code in current.skus:
                if code.stocked:
                    self._move(
                        stock_item.release,
                        sku=code.sku,
                        quantity=code.units,
                        order_id=current.order_id,
                        reason="cancelled",
                    )

    def _ship(self) -> None:
        current = self._any_order(Status.CONFIRMED)
        if current is None:
            return
        self._decide(current.order_id, order.ship(current, order_id=current.order_id, now=NOW))
        for code in current.skus:
            if code.stocked:
                self._move(stock_item.ship, sku=code.sku, quantity=code.units, order_id=current.order_id)
        self._label(current)

    def _label(self, current: Order) -> None:
        """A label is requested for the parcel; the carrier refuses some at first, and never answers about others."""
        contents = [Content(sku=code.sku, quantity=code.units) for code in current.skus if code.stocked]
        if not contents:
            return
        parcel = {
            "order_id": current.order_id,
            "country": current.country,
            "contents": contents,
            "now": NOW,
        }
        answers = (
            ((shipment.record_label, {"label_id": "L", "tracking": "T"}),),
            (
                (shipment.record_refusal, {"reason": "too heavy"}),
                (shipment.request_label, None),
                (shipment.record_label, {"label_id": "L", "tracking": "T"}),
            ),
            (),
        )[current.units % 3]
        state: Shipment | None = None
        for step, (decide, answer) in enumerate(((shipment.request_label, None), *answers)):
            inputs = parcel if answer is None else {**answer, "attempt": 1 + step // 2, "now": NOW}
            decided = decide(state, **inputs)
            for event in decided:
                state = shipment.evolve(state, event)
            self._record(shipment.SHIPMENT.stream(current.order_id), decided)

    def _credit(self) -> None:
        self.notes += 1
        note = CreditNoteId(f"C{self.notes}")
        (issued,) = credit_note.issue(
            None,
            credit_note_id=note,
            against=None,
            customer_id=self._customer(),
            issued_at=self._moment(),
            country=self.chance.choice(COUNTRIES),
            currency=self._currency(),
            lines=self._lines(),
        )
        self._record(credit_note.CREDIT_NOTE.stream(note), [issued])
        for code in issued.skus:  # type: ignore[attr-defined]
            if code.stocked:
                self._move(
                    stock_item.return_,
                    sku=code.sku,
                    quantity=code.units,
                    credit_note_id=note,
                    disposition="sellable",
                )

    def _count(self) -> None:
        delta = self.chance.randint(-20, 20)
        self._move(stock_item.adjust, sku=self.chance.choice(CODES), delta=delta, reason="count", note="")

    def _decide(self, order_id: OrderId, decided: list[Event]) -> None:
        for event in decided:
            self.orders[order_id] = order.evolve(self.orders.get(order_id), event)
        self._record(order.ORDER.stream(order_id), decided)

    def _move(self, decision: Any, *, sku: Sku, **inputs: Any) -> None:
        try:
            decided = decision(self.stock.get(sku), sku=sku, now=NOW, **inputs)
        except Rejection:
            return
        for event in decided:
            self.stock[sku] = stock_item.evolve(self.stock.get(sku), event)
        self._record(stock_item.STOCK.stream(sku), decided)

    def _record(self, stream: str, events: list[Event]) -> None:
        self.log.extend(Recorded(stream, event) for event in events)

    def _any_order(self, *statuses: Status) -> Order | None:
        waiting = [each for each in self.orders.values() if each.status in statuses]
        return self.chance.choice(waiting) if waiting else None

    def _available(self, sku: Sku) -> int:
        return self.stock[sku].available if sku in self.stock else 0

    def _customer(self) -> CustomerId | None:
        return self.chance.choice((None, *(CustomerId(str(number)) for number in range(4))))

    def _currency(self) -> Currency:
        return Currency(self.chance.choice(("GBP", "GBP", "EUR", "JPY")))

    def _moment(self) -> datetime:
        return LONG_AGO + timedelta(hours=self.chance.randint(0, 100))

    def _lines(self) -> list[LineRequest]:
        skus = self.chance.choices((*CODES, *SERVICES), k=self.chance.randint(1, 6))
        return [
            LineRequest(
                sku=sku,
                quantity=self.chance.randint(1, 6),
                unit_price=UnitPrice(self.chance.choice(("0", "0.125", "2.55", "10"))),
                stocked=sku in CODES,
            )
            for sku in skus
        ]


def history(seed: int, *, steps: int = 120) -> list[Recorded]:
    """What a shop recorded in so many steps; the same for the same seed."""
    shop = Shop(seed)
    shop.open()
    for _ in range(steps):
        shop.trade()
    return shop.log
