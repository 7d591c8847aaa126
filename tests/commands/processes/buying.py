"""One order with a payment under the scheduler: a buyer, a provider and the staff, who act whenever they are called.

A row of the order process is a `Sale` that says what they do, and how it has to end. Workers of the processes are
killed, late and repeated meanwhile (`counterfoil.testing.processes`); what is left to do at the end is done in peace.
"""

import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final

from commands import amounts_held, stock_losses
from commands.decision import Decision, DecisionView, StreamState, events_of
from commands.processes import purchases
from commands.processes.fulfilment import FULFILMENT
from commands.processes.process import Process
from commands.processes.purchases import PURCHASES
from commands.processes.timer import Timer
from commands.stock_losses import Loss
from counterfoil.testing import processes
from counterfoil.testing.processes import Worker, World
from counterfoil.testing.spec import folded
from domain.aggregate import Aggregate, category_of
from domain.event import Event
from domain.ids import (
    CaptureId,
    CouponId,
    CustomerId,
    LocationId,
    OrderId,
    PaymentId,
    PromotionId,
    RedemptionId,
    Sku,
)
from domain.inventory import stock_item
from domain.inventory.locations import ALL, LOCATIONS, MAIN, open_locations, set_location
from domain.inventory.stock_item import STOCK
from domain.inventory.stock_refusals import InsufficientStock
from domain.money import Currency, Minor, UnitPrice
from domain.ordering import order
from domain.ordering.events import Contact, OrderCancelled, PaymentNeeded, PaymentTerms
from domain.ordering.lines import LineRequest
from domain.ordering.order import ORDER, Buyer, Order, OrderIsHeld, Status
from domain.ordering.purchase import PURCHASE, payment_of
from domain.payments import authorising, capturing, refunding
from domain.payments.authorising import Payable
from domain.payments.events import CaptureMode
from domain.payments.payment import OPEN, PAYMENT, MovementStep, Payment
from domain.payments.payment import Status as Authorisation
from domain.payments.store_credit import STORE_CREDIT
from domain.pricing.events import CouponRedeemed, RedemptionReleased
from domain.pricing.redemption import REDEMPTION, redemption_of
from domain.promotion_terms import PromotionDiscount
from domain.shipping.shipment import SHIPMENT
from event_store.log import codec
from projections.payments import folds
from projections.payments.views import PaymentDetails, payment_details
from runtime.settings import Settings

SKU: Final = Sku("A")
SERVICE: Final = Sku("POST")
ID: Final = OrderId("o1")
CUSTOMER: Final = CustomerId("17850")
PROMOTION: Final = PromotionId("spring")
UNITS: Final = 2
TOTAL: Final = 300
OFF: Final = Minor(100)
"""What the coupon of a sale takes off, if it has one."""
HELD_FOR: Final = timedelta(days=7)
ROUNDS_MAX: Final = 2_000
ACTS_PER_ROUND: Final = 8

_BY_CATEGORY: Final[Mapping[str, Aggregate[Any]]] = {
    each.category: each
    for each in (ORDER, STOCK, LOCATIONS, PAYMENT, PURCHASE, REDEMPTION, SHIPMENT, STORE_CREDIT)
}
_DELAYS: Final = {name: field.default for name, field in Settings.model_fields.items()}


def asked(**often: int) -> Mapping[str, int]:
    """How often the provider is asked for what."""
    return often


class Sale:
    """All goes well, and nobody does more than pay. Rows say what is different."""

    on_hand: ClassVar[int] = 5
    backorder_limit: ClassVar[int] = 0
    elsewhere: ClassVar[Mapping[str, int]] = {}
    status: ClassVar[Status] = Status.CONFIRMED
    cancelled: ClassVar[str | None] = None
    payment: ClassVar[Authorisation | None] = Authorisation.AUTHORISED
    captured: ClassVar[int] = 0
    refunded: ClassVar[int] = 0
    needed: ClassVar[tuple[str, ...]] = ()
    holds: ClassVar[tuple[str, ...]] = ()
    waits: ClassVar[str | None] = None
    requested: ClassVar[Mapping[str, int]] = asked(authorisation=1)
    coupon: ClassVar[CouponId | None] = None
    contact: ClassVar[Contact | None] = None
    others: ClassVar[tuple[Process, ...]] = ()
    """Processes that react, too."""
    released: ClassVar[tuple[str, ...]] = ()

    def __init__(self, world: World) -> None:
        self.world = world
        self.fired: set[tuple[str, int]] = set()
        now = world.clock.now
        there = {"sku": SKU, "quantity": self.on_hand, "reference": "", "now": now}
        received = stock_item.receive(None, **there) if self.on_hand else []
        policy = stock_item.set_backorder_limit(None, sku=SKU, limit=self.backorder_limit, now=now)
        world.append(STOCK, SKU, [*received, *policy])
        for location_id, quantity in self.elsewhere.items():
            self.open(LocationId(location_id), quantity)
        lines = [
            LineRequest(sku=SKU, quantity=1, unit_price=UnitPrice("1"), stocked=True) for _ in range(UNITS)
        ]
        off = Minor(0) if self.coupon is None else OFF
        service = LineRequest(sku=SERVICE, quantity=1, unit_price=UnitPrice("1"), stocked=False, discount=off)
        lines.append(service)
        placed = order.place(
            None,
            order_id=ID,
            customer_id=None if self.contact is None else CUSTOMER,
            placed_at=now,
            country="United Kingdom",
            currency=Currency("GBP"),
            lines=lines,
            buyer=Buyer(
                contact=self.contact,
                payment=PaymentTerms(method_ref="pm_visa"),
                promotions=self._promotions(),
            ),
        )
        if self.coupon is not None:
            world.append(REDEMPTION, redemption_of(ID), [self._redeemed()])
        world.append(ORDER, ID, placed)

    def _promotions(self) -> tuple[PromotionDiscount, ...]:
        if self.coupon is None:
            return ()
        return (PromotionDiscount(promotion_id=PROMOTION, code=self.coupon, amount=OFF),)

    def _redeemed(self) -> CouponRedeemed:
        assert self.coupon is not None, "asked of a sale with one"
        return CouponRedeemed(
            redemption_id=RedemptionId(ID),
            code=self.coupon,
            promotion_id=PROMOTION,
            order_id=ID,
            customer_id=None,
            amount=OFF,
            redeemed_at=self.world.clock.now,
        )

    def open(self, location_id: LocationId, quantity: int) -> None:
        """Another location, to plan after those that are open, with so many pieces."""
        locations = self.world.state(LOCATIONS, ALL)
        last = len(open_locations(locations))
        it = {"location_id": location_id, "priority": last, "is_open": True, "now": self.now}
        self.append(LOCATIONS, ALL, set_location(locations, **it))
        self.receive(quantity, at=location_id)

    # What rows change.

    def authorise(self, payment: Payment) -> list[Event]:
        """What the provider answers when it is asked to hold the amount, and when it is asked what came of it."""
        return self.held(payment)

    def capture(self, payment: Payment, number: int) -> list[Event]:
        return capturing.record_captured(payment, number=number, capture_ref=f"C{number}", now=self.now)

    def void(self, payment: Payment) -> list[Event]:
        return authorising.record_voided(payment, number=payment.voids, now=self.now)

    def refund(self, payment: Payment, number: int) -> list[Event]:
        return refunding.record_refunded(payment, number=number, refund_ref=f"R{number}", now=self.now)

    def act(self) -> None:
        """What buyer and staff do, and which timers are due."""

    # What everybody does.

    @property
    def now(self) -> datetime:
        return self.world.clock.now

    @property
    def sold(self) -> Order:
        state = self.world.state(ORDER, ID)
        assert state is not None, "it is placed at the beginning"
        return state

    @property
    def paid(self) -> Payment | None:
        return self.world.state(PAYMENT, payment_of(ID))

    @property
    def due(self) -> int:
        """What the provider is asked for."""
        return TOTAL - (0 if self.coupon is None else OFF)

    @property
    def noted(self) -> tuple[str, ...]:
        """Why a payment was needed, so far."""
        return tuple(each.reason for each in self.events() if isinstance(each, PaymentNeeded))

    @property
    def listed(self) -> PaymentDetails:
        """The payment as lists of payments have it."""
        assert payment_details in folds.VIEWS, "with all of its folds"
        of_payments = [each for each in self.events() if type(each) in payment_details.folds]
        row: PaymentDetails = folded(payment_details, *of_payments)[payment_of(ID),]
        return row

    def call(self) -> None:
        payment = self.paid
        if payment is not None and self.world.chance.random() < 0.5:
            self.append(PAYMENT, ID, self._answer(payment))
        else:
            self.act()

    def _answer(self, payment: Payment) -> list[Event]:
        """The answer of the provider to what it was asked for, if it was for anything."""
        if payment.status in OPEN:
            return self.authorise(payment)
        if payment.status is Authorisation.VOIDING:
            return self.void(payment)
        for captured in payment.captures.values():
            if captured.step is MovementStep.PENDING:
                return self.capture(payment, captured.number)
        for refunded in payment.refunds.values():
            if refunded.step is MovementStep.PENDING:
                return self.refund(payment, refunded.number)
        return []

    def held(self, payment: Payment) -> list[Event]:
        return authorising.record_authorised(
            payment,
            attempt=payment.attempt,
            amount=Minor(payment.amount - payment.captured),
            auth_ref=f"A{payment.attempt}",
            expires_at=self.now + HELD_FOR,
            now=self.now,
        )

    def declined(self, payment: Payment, *, retryable: bool) -> list[Event]:
        return authorising.record_declined(
            payment, attempt=payment.attempt, code="no", retryable=retryable, now=self.now
        )

    def append(self, aggregate: Any, identifier: str, events: Sequence[Event]) -> None:
        if events:
            self.world.append(aggregate, identifier, events)

    def record(self, decided: Decision) -> None:
        for stream in dict.fromkeys(each[:2] for each in decided.events):
            self.append(*stream, [each[2] for each in decided.events if each[:2] == stream])

    def payable(self) -> Payable:
        """The order, as another payment of it is created."""
        of = {"order_id": ID, "customer_id": self.sold.customer_id, "currency": Currency("GBP")}
        return Payable(**of, total=Minor(TOTAL), covered=Minor(0))

    def void_by_hand(self, payment: Payment) -> None:
        """Finance has what is held released."""
        voided = authorising.void(payment, payment_id=payment.payment_id, now=self.now)
        self.append(PAYMENT, payment.payment_id, voided)

    def request_another(
        self, payment_id: PaymentId, capture: CaptureMode, amount: Minor | None = None
    ) -> None:
        """Finance creates another payment of the order, and has it held."""
        it = {"payment_id": payment_id, "now": self.now}
        of_it = {"of": self.payable(), "amount": amount, "method_ref": "pm_other", "capture": capture}
        self.append(PAYMENT, payment_id, authorising.create(None, **it, **of_it))
        self.authorise_another(payment_id)

    def authorise_another(self, payment_id: PaymentId) -> None:
        it = {"payment_id": payment_id, "method_ref": None, "now": self.now}
        self.append(PAYMENT, payment_id, authorising.authorise(self.world.state(PAYMENT, payment_id), **it))

    def pay_again(self, payment: Payment) -> None:
        """The buyer names another method."""
        again = authorising.authorise(
            payment, payment_id=payment.payment_id, method_ref="pm_other", now=self.now
        )
        self.append(PAYMENT, ID, again)

    def cancel(self) -> None:
        self.append(ORDER, ID, order.cancel(self.sold, order_id=ID, reason="customer", now=self.now))

    def ship(self) -> None:
        if self.sold.status is Status.CONFIRMED:
            with contextlib.suppress(OrderIsHeld):
                shipped = order.ship(self.sold, order_id=ID, now=self.now)
                amounts_held.require_held(self.sold, DecisionView(self._held), now=self.now)
                self.append(ORDER, ID, shipped)

    def lose_stock(self, quantity: int) -> None:
        """Somebody finds fewer pieces than are reserved, and names the order that is to wait for others."""
        loss = Loss(quantity=quantity, reason="damage", note="", order_ids=(ID,))
        item, view = self.world.state(STOCK, SKU), DecisionView(self._held)
        self.record(stock_losses.write_off(item, view, sku=SKU, loss=loss, now=self.now))

    def reserve_again(self) -> None:
        """Somebody tries to, whether or not there are pieces."""
        with contextlib.suppress(InsufficientStock):
            view = DecisionView(self._held)
            self.record(stock_losses.reserve_again(self.sold, view, order_id=ID, now=self.now))

    def receive(self, quantity: int, at: LocationId = MAIN) -> None:
        item, locations = self.world.state(STOCK, SKU), open_locations(self.world.state(LOCATIONS, ALL))
        it = {"sku": SKU, "quantity": quantity, "reference": "", "at": at, "locations": locations}
        received = stock_item.receive(item, **it, now=self.now)
        self.append(STOCK, SKU, received)

    def capture_by_hand(
        self, payment: Payment, amount: Minor | None = None, capture_id: str = "by-hand"
    ) -> None:
        """Have it captured, or a part of it, once."""
        if payment.status is Authorisation.AUTHORISED and capture_id not in payment.captures:
            by_hand = capturing.capture(
                payment,
                payment_id=payment.payment_id,
                capture_id=CaptureId(capture_id),
                amount=amount,
                shipment_id=None,
                now=self.now,
            )
            self.append(PAYMENT, payment.payment_id, by_hand)

    def fire(self, timer: Timer[Any]) -> bool:
        """Let time pass until a timer is due that is set, and fire it; whether it was set."""
        set_by = self._set(timer)
        if set_by is None or (timer.name, set_by[0]) in self.fired:
            return False
        position, due_at = set_by
        delay = 0.0 if timer.after is None else _DELAYS[timer.after]
        self.world.clock.pass_s(max(0.0, (due_at - self.now).total_seconds() + delay))
        assert timer.decide is not None
        decided = timer.decide(self.world.state(ORDER, ID), DecisionView(self._held), self.now)
        if not isinstance(decided, Decision):
            decided = Decision(events_of(ORDER, ID, decided))
        self.record(decided)
        self.fired.add((timer.name, position))
        return True

    def _set(self, timer: Timer[Any]) -> tuple[int, datetime] | None:
        """The position of the event that set a timer, and when it is due; by the declaration, as its view has it."""
        found: tuple[int, datetime] | None = None
        for position, event in enumerate(self.events(), start=1):
            if type(event) in timer.clears:
                found = None
            elif (due := timer.sets.get(type(event))) is not None:
                due_at = due(event, self.now)
                found = found if due_at is None else (position, due_at)
        return found

    def _held(self, stream: str) -> StreamState[Any]:
        aggregate: Aggregate[Any] = _BY_CATEGORY[category_of(stream)]
        state = self.world.state(aggregate, stream.partition("-")[2])
        return StreamState(state, self.world.log.version(stream), 0, stream)

    def events(self) -> list[Event]:
        return [codec.decode(each.type, each.payload) for each in self.world.log.events]

    # How it ends.

    def finish(self) -> None:
        """Let everybody go on until it ended as it has to, or for long."""
        worker = Worker(self.world, lambda _request, _worker: ())
        for _ in range(ROUNDS_MAX):
            self.world.pass_step()
            self.call()
            for _ in range(ACTS_PER_ROUND):
                worker.act()
            if self.world.has_ended() and not self.amiss():
                return

    def amiss(self) -> list[str]:
        """What is not as it has to be at the end."""
        found = self._found()
        wanted = self.wanted()
        return [
            f"{name} is {found[name]}, not {wanted[name]}" for name in wanted if found[name] != wanted[name]
        ]

    def wanted(self) -> dict[str, Any]:
        confirmed, shipped = self.status is Status.CONFIRMED, self.status is Status.SHIPPED
        return {
            "order": self.status,
            "cancelled": self.cancelled,
            "payment": self.payment,
            "captured": self.captured,
            "refunded": self.refunded,
            "needed": self.needed,
            "holds": self.holds,
            "waits": self.waits,
            "requested": self.requested,
            "released": self.released,
            "due": self.due,
            "stock": (self.on_hand - UNITS if shipped else self.on_hand, UNITS if confirmed else 0),
            "backordered": 0,
            "elsewhere": {},
        }

    def _found(self) -> dict[str, Any]:
        events = self.events()
        payment, stock = self.paid, self.world.state(STOCK, SKU)
        assert stock is not None, "it is received at the beginning"
        kinds = Counter(type(event).__name__ for event in events)
        requested = {
            name.removesuffix("Requested").lower(): count
            for name, count in kinds.items()
            if name.endswith("Requested")
        }
        return {
            "order": self.sold.status,
            "cancelled": next((each.reason for each in events if isinstance(each, OrderCancelled)), None),
            "payment": None if payment is None else payment.status,
            "captured": 0 if payment is None else payment.captured,
            "refunded": 0 if payment is None else payment.refunded,
            "needed": self.noted,
            "holds": self.sold.holds,
            "waits": None if payment is None else self.listed.waits_for,
            "requested": requested,
            "released": tuple(each.reason for each in events if isinstance(each, RedemptionReleased)),
            "due": self.due if payment is None else payment.amount,
            "stock": (stock.on_hand, stock.reserved),
            "backordered": stock.waiting(ID),
            "elsewhere": {
                each: (pieces.on_hand, pieces.reserved) for each, pieces in stock.elsewhere.items()
            },
        }


class PaidInstead(Sale):
    """Finance voids the payment of a confirmed order, another authorisation pays instead, and nothing of it stays."""

    payment = Authorisation.VOIDED
    instead = PaymentId("second")

    @property
    def second(self) -> Payment | None:
        return self.world.state(PAYMENT, self.instead)

    def pay_instead(self) -> None:
        """One step after the other."""
        if self.second is not None:
            self.append(PAYMENT, self.instead, self._answer(self.second))
        elif self.paid is None or self.sold.status is not Status.CONFIRMED:
            pass  # no other payment of it may be created yet
        elif self.paid.status is Authorisation.AUTHORISED:
            self.void_by_hand(self.paid)
        elif self.paid.status is Authorisation.VOIDED:
            self.request_another(self.instead, self.world.chance.choice(("manual", "auto")))

    def wanted(self) -> dict[str, Any]:
        """Whatever was requested and held until then, nothing is left with the provider."""
        wanted = {**super().wanted(), "left": 0}
        del wanted["requested"], wanted["holds"]
        return wanted

    def _found(self) -> dict[str, Any]:
        return {**super()._found(), "left": self.second and self.second.authorised - self.second.refunded}


def run(row: type[Sale], seed: int) -> list[str]:
    """One schedule of a row; what is wrong at its end."""
    sales: list[Sale] = []

    def callers(world: World) -> Any:
        sales.append(row(world))
        return sales[0].call

    def check(_world: World) -> list[str]:
        sales[0].finish()
        return sales[0].amiss()

    return processes.run(seed, processes=(FULFILMENT, PURCHASES, *row.others), callers=callers, check=check)


TOO_LONG, HOLD, AGAIN = purchases.TOO_LONG, purchases.HOLD, purchases.AGAIN
