"""Purchases: what the outcomes of its payment mean for an order that was placed with a method.

placed ─▶ stock reserved and payment requested, in one append ─▶ authorised ─▶ confirmed ─▶ shipped ─▶ captured

What happens to the order itself is decided by `fulfilment`, what becomes of its payment here. An authorisation that
nobody knows about is waited for, and its stock with it; a decline that may go well another time leaves the buyer with
some attempts, for a time; a decline for good cancels the order. What is held or taken for an order that is off is given
back, also if it was held only later; what is held for one that has left is taken, by whichever payments. An order that
is confirmed is not shipped while its amount is not held, nor after its payment was voided until it is paid in another
way, nor after that went away, too; one that could be shipped and is not, paid by a method or not, is noted as overdue.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import reduce
from typing import Final

from commands.amounts_held import collect, expires_first, payers_of, unheld_since
from commands.decision import Appended, Decision, DecisionView, events_of
from commands.processes.process import Process, Rejected, Streams
from commands.processes.timer import Timer
from domain.event import Event
from domain.ids import OrderId
from domain.ordering import holding
from domain.ordering import order as ordering
from domain.ordering import purchase as purchasing
from domain.ordering.events import (
    DispatchOverdue,
    HoldLifted,
    OrderCancelled,
    OrderConfirmed,
    OrderHeld,
    OrderRejected,
    OrderShipped,
    PaymentExpiryScheduled,
    PaymentNeed,
    PaymentNeeded,
    PurchaseBegun,
)
from domain.ordering.order import ORDER, Order, Status
from domain.ordering.purchase import ATTEMPTS_MAX, PURCHASE, PurchaseSteps, payment_of
from domain.payments import ending
from domain.payments.events import (
    AuthorisationDeclined,
    AuthorisationExpired,
    AuthorisationVoided,
    CaptureFailed,
    ChargebackWon,
    CreditHeld,
    CreditReleased,
    CustomerActionRequired,
    ManualPaymentRecorded,
    PaymentAuthorised,
    PaymentCaptured,
    RefundFailed,
    RefundSucceeded,
    VoidFailed,
    VoidRequested,
)
from domain.payments.payment import PAYMENT, Payment
from domain.payments.payment import Status as Authorisation
from domain.payments.store_credit import CLOCKS_DIFFER_BY
from event_store.consumers.starting import HEAD

PURCHASES: Final = Process("purchases", writes=(ORDER, PAYMENT, PURCHASE), start=HEAD)

COLLECTED_AGAIN_AFTER: Final = (timedelta(hours=1), timedelta(hours=4), timedelta(hours=24))
"""From each time that the money of a shipped order was not to be had; then it is a receivable of the shop."""

UNPAID: Final = frozenset(
    (
        Authorisation.CREATED,
        Authorisation.DECLINED,
        Authorisation.ACTION_REQUIRED,
        Authorisation.EXPIRED,
        Authorisation.VOIDING,
        Authorisation.VOIDED,
    )
)
"""Nothing is held, and nobody but the buyer can change that. What was requested may be held, and is waited for."""

WAITING: Final = frozenset((Status.PLACED, Status.CONFIRMED))
"""What is not shipped yet, and not off."""

PaymentOutcome = (
    PaymentAuthorised
    | AuthorisationDeclined
    | CustomerActionRequired
    | PaymentCaptured
    | CaptureFailed
    | VoidFailed
    | RefundSucceeded
    | RefundFailed
    | ChargebackWon
)


def order_and_payment(event: PaymentOutcome) -> Streams:
    """The order, its purchase and its payment; nothing for any other payment."""
    return _paid(event.order_id) if event.payment_id == payment_of(event.order_id) else ()


_Payer = PaymentAuthorised | ManualPaymentRecorded | CreditHeld | VoidFailed
"""More pays for the order, or does still."""
_Loss = VoidRequested | AuthorisationVoided | AuthorisationExpired | CaptureFailed | CreditReleased
"""Less pays for the order."""


def order_and_own_payment(event: _Payer | _Loss | PaymentOutcome) -> Streams:
    """The order, its purchase and the payment that this was requested with, whichever it is that pays now."""
    return _paid(event.order_id)


def other_payers(event: _Payer | _Loss | PaymentOutcome, view: DecisionView) -> Streams:
    """The payment of the event, and whatever else may pay once the one that this was requested with is voided."""
    order, purchase = view.known(ORDER, event.order_id), view.known(PURCHASE, event.order_id)
    payment = view.known(PAYMENT, payment_of(event.order_id))
    if order is None or purchase is None or payment is None:
        return ()
    this = [] if isinstance(event, CreditHeld | CreditReleased) else [(PAYMENT, event.payment_id)]
    # No other is created before that.
    return this if payment.status is not Authorisation.VOIDED else [*payers_of(order, purchase), *this]


@PURCHASES.when(PaymentAuthorised, reads=order_and_own_payment, then_reads=other_payers)
def confirm(event: PaymentAuthorised, view: DecisionView, now: datetime) -> Decision:
    """Confirm the order, whose stock is reserved; one that is off lets go, one that has left is collected.

    An order that was held for want of this may be shipped.
    """
    if event.payment_id != payment_of(event.order_id):
        return _of_another(event, view, now)
    found = _purchase_of(event.order_id, view)
    if found is None:
        return Rejected()
    order, purchase, payment = found
    if order.status not in WAITING:
        return _go_on(order, purchase, payment, view, now)
    if payment.status is not Authorisation.AUTHORISED:
        return Rejected()
    confirmed = ordering.confirm(order, order_id=order.order_id, now=now)
    lifted = holding.lift(order, order_id=order.order_id, reason="payment", now=now)
    return Decision(events) if (events := _order(order, [*confirmed, *lifted])) else Rejected()


@PURCHASES.when(AuthorisationDeclined, reads=order_and_own_payment, then_reads=other_payers)
def need_another(event: AuthorisationDeclined, view: DecisionView, now: datetime) -> Decision:
    """Leave the buyer with another attempt, or cancel the order where none is left or of use."""
    found = _purchase_of(event.order_id, view)
    declined = None if found is None else view.current(PAYMENT, event.payment_id)
    if found is None or declined is None:
        return Rejected()
    if (declined.status, declined.attempt) != (Authorisation.DECLINED, event.attempt):
        return Rejected()  # the buyer tries again already
    order, purchase, payment = found
    if declined is not payment:
        return _of_another(event, view, now)
    match order.status:
        case Status.PLACED if not event.retryable or event.attempt >= ATTEMPTS_MAX:
            cancelled = ordering.cancel(order, order_id=order.order_id, reason="declined", now=now)
            return Decision(_order(order, cancelled))
        case Status.PLACED | Status.CONFIRMED:
            return Decision((*_held(order, now), *_needed(event, purchase, "declined", now)))
    if _is_missed(event, order, purchase):
        return _not_collected(event, purchase, now)
    return _go_on(order, purchase, payment, view, now)


@PURCHASES.when(VoidRequested, reads=order_and_own_payment, then_reads=other_payers)
@PURCHASES.when(AuthorisationVoided, reads=order_and_own_payment, then_reads=other_payers)
@PURCHASES.when(AuthorisationExpired, reads=order_and_own_payment, then_reads=other_payers)
@PURCHASES.when(CreditReleased, reads=order_and_own_payment, then_reads=other_payers)
def keep(event: _Loss, view: DecisionView, now: datetime) -> Decision:
    """Keep a confirmed order from being shipped whose amount is not held any more: by its payment, or what else pays.

    One that is off, so that the process itself had it voided, is not held.
    """
    found = _purchase_of(event.order_id, view)
    if found is None:
        return Rejected()
    order, purchase, payment = found
    since = unheld_since(order, payment, purchase, view, now=now)
    held = () if since is None else _held(order, now)
    return Decision(held) if held else Rejected()


@PURCHASES.when(ManualPaymentRecorded, reads=order_and_own_payment, then_reads=other_payers)
@PURCHASES.when(CreditHeld, reads=order_and_own_payment, then_reads=other_payers)
def let_leave(event: _Payer, view: DecisionView, now: datetime) -> Decision:
    """Let an order leave that is paid in another way: by amounts that are no less than its voided payment left."""
    found = _purchase_of(event.order_id, view)
    if found is None:
        return Rejected()
    order, purchase, payment = found
    if order.status is not Status.CONFIRMED or payment.status is not Authorisation.VOIDED:
        return Rejected()
    added: list[Event] = []
    if not isinstance(event, CreditHeld):
        added = purchasing.add_payment(purchase, payment_id=event.payment_id, now=now)
        purchase = reduce(purchasing.evolve, added, purchase)
    if isinstance(event, PaymentAuthorised | VoidFailed):
        added += _scheduled(event, purchase, view, now)
    lifted: list[Event] = []
    if unheld_since(order, payment, purchase, view, now=now) is None:
        lifted = holding.lift(order, order_id=order.order_id, reason="payment", now=now)
    decided = (*events_of(PURCHASE, order.order_id, added), *_order(order, lifted))
    return Decision(decided) if decided else Rejected()


@PURCHASES.when(CustomerActionRequired, reads=order_and_payment)
def need_confirmation(event: CustomerActionRequired, view: DecisionView, now: datetime) -> Decision:
    """Note that the buyer has to confirm the payment."""
    found = _found(event, view)
    if found is None:
        return Rejected()
    order, purchase, payment = found
    if (payment.status, payment.attempt) != (Authorisation.ACTION_REQUIRED, event.attempt):
        return Rejected()
    if order.status not in WAITING:
        return Rejected()
    return Decision((*_held(order, now), *_needed(event, purchase, "action_required", now)))


@PURCHASES.when(PaymentCaptured, reads=order_and_own_payment, then_reads=other_payers)
@PURCHASES.when(CaptureFailed, reads=order_and_own_payment, then_reads=other_payers)
@PURCHASES.when(VoidFailed, reads=order_and_own_payment, then_reads=other_payers)
@PURCHASES.when(RefundSucceeded, reads=order_and_own_payment, then_reads=other_payers)
@PURCHASES.when(RefundFailed, reads=order_and_own_payment, then_reads=other_payers)
@PURCHASES.when(ChargebackWon, reads=order_and_own_payment, then_reads=other_payers)
def go_on(event: PaymentOutcome, view: DecisionView, now: datetime) -> Decision:
    """Let go of more, once an order is off or its loss refunded; note that what was shipped is not collected.

    The timer of a hold decides nothing while the outcome of a capture or a void is awaited: then it is decided here.
    """
    if event.payment_id != payment_of(event.order_id):
        return _of_another(event, view, now)
    found = _purchase_of(event.order_id, view)
    if found is None:
        return Rejected()
    order, purchase, payment = found
    if _is_missed(event, order, purchase):
        return _not_collected(event, purchase, now)
    if order.status is Status.CONFIRMED:
        decided = _renewed(order, payment, now)
        if not decided and isinstance(event, VoidFailed) and payment.status is Authorisation.AUTHORISED:
            lifted = holding.lift(order, order_id=order.order_id, reason="payment", now=now)
            decided = _order(order, lifted)
        return Decision(decided) if decided else Rejected()
    return _go_on(order, purchase, payment, view, now)


def _of_another(event: PaymentOutcome, view: DecisionView, now: datetime) -> Decision:
    """What came of another payment says whether that pays for the order still.

    One of an order that is off lets go, and one of an order that has left is collected.
    """
    found = _purchase_of(event.order_id, view)
    if found is None:
        return Rejected()
    order, purchase, payment = found
    if _is_off(order, purchase):
        another = view.current(PAYMENT, event.payment_id)
        assert another is not None, "a payment that something came of has no state"
        return _go_on(order, purchase, another, view, now)
    if order.status is Status.SHIPPED:
        is_instead = payment.status is Authorisation.VOIDED
        return _collect_another(event, order, purchase, view, now) if is_instead else Rejected()
    if isinstance(event, PaymentAuthorised | VoidFailed):
        return let_leave(event, view, now)
    return keep(event, view, now) if isinstance(event, CaptureFailed) else Rejected()


def _collect_another(
    event: PaymentOutcome, order: Order, purchase: PurchaseSteps, view: DecisionView, now: datetime
) -> Decision:
    """What came of another payment of an order that has left; one that was never held does not pay for it."""
    added: list[Event] = []
    if isinstance(event, PaymentAuthorised):
        added = purchasing.add_payment(purchase, payment_id=event.payment_id, now=now)
        purchase = reduce(purchasing.evolve, added, purchase)
    if event.payment_id not in purchase.others:
        return Rejected()
    if _is_missed(event, order, purchase):
        return _not_collected(event, purchase, now)
    decided = (*events_of(PURCHASE, order.order_id, added), *collect(purchase, view, now=now))
    return Decision(decided) if decided else Rejected()


TOO_LONG: Final = Timer(PURCHASES, "unpaid", of=ORDER, after="unpaid_after_s")
HOLD: Final = Timer(PURCHASES, "hold", of=ORDER)
AGAIN: Final = Timer(PURCHASES, "collect", of=ORDER)


@TOO_LONG.set_by(PurchaseBegun)
def from_then_on(_event: PurchaseBegun, recorded_at: datetime) -> datetime:
    """The setting says how long a buyer may take."""
    return recorded_at


@TOO_LONG.set_by(PaymentNeeded)
def anew(event: PaymentNeeded, recorded_at: datetime) -> datetime | None:
    """Each attempt has its time."""
    return None if event.reason == "not_collected" else recorded_at


TOO_LONG.cleared_by(OrderConfirmed, OrderRejected, OrderCancelled)


@TOO_LONG.fires
def give_up(order: Order | None, view: DecisionView, now: datetime) -> Sequence[Event]:
    """Cancel the order, unless its payment is held, or may be."""
    assert order is not None, "an order that was placed has no state"
    payment = view.current(PAYMENT, payment_of(order.order_id))
    if order.status is not Status.PLACED or payment is None or payment.status not in UNPAID:
        return []
    return ordering.cancel(order, order_id=order.order_id, reason="expired", now=now)


@HOLD.set_by(PaymentAuthorised)
def as_long_as_it_is_held(event: PaymentAuthorised, _recorded_at: datetime) -> datetime:
    """The provider says how long it holds an amount, whichever payment of the order that is of."""
    return event.expires_at


@HOLD.set_by(PaymentExpiryScheduled)
def until_the_first_expires(event: PaymentExpiryScheduled, _recorded_at: datetime) -> datetime:
    """Of several payments that pay instead, another one expires before that which was authorised last."""
    return event.expires_at


HOLD.cleared_by(OrderCancelled, OrderShipped)


@HOLD.fires
def hold_again(order: Order | None, view: DecisionView, now: datetime) -> Decision:
    """Have the amount held again; until it is, the order is held itself.

    What pays instead of a voided payment is not requested again: the order waits for it, unless people let it leave.
    """
    assert order is not None, "an order that was placed has no state"
    payment = view.current(PAYMENT, payment_of(order.order_id))
    if order.payment is None or payment is None or order.status is not Status.CONFIRMED:
        return Decision()
    if payment.status is not Authorisation.VOIDED:
        return Decision(_renewed(order, payment, now))
    purchase = view.current(PURCHASE, order.order_id)
    assert purchase is not None, "an order that was confirmed with a method has no purchase"
    by_then = now + CLOCKS_DIFFER_BY
    next_one = expires_first(purchase, view, now=by_then)
    scheduled = events_of(
        PURCHASE, order.order_id, purchasing.schedule_expiry(purchase, expires_at=next_one, now=now)
    )
    since = unheld_since(order, payment, purchase, view, now=by_then)
    if since is None or holding.is_on_credit(order, unheld_since=since):
        return Decision(scheduled)
    return Decision((*_held(order, now), *scheduled))


@AGAIN.set_by(PaymentNeeded)
def some_time_later(event: PaymentNeeded, recorded_at: datetime) -> datetime | None:
    """Later each time, and in the end not any more."""
    if event.reason != "not_collected" or event.attempt > len(COLLECTED_AGAIN_AFTER):
        return None
    return recorded_at + COLLECTED_AGAIN_AFTER[event.attempt - 1]


AGAIN.cleared_by(PaymentCaptured)


@AGAIN.fires
def collect_again(order: Order | None, view: DecisionView, now: datetime) -> Decision:
    """Have the money of what has left taken, if it was not meanwhile."""
    assert order is not None, "an order that was placed has no state"
    purchase = view.current(PURCHASE, order.order_id)
    payment = view.current(PAYMENT, payment_of(order.order_id))
    if purchase is None or payment is None or order.status is not Status.SHIPPED:
        return Decision()
    return _go_on(order, purchase, payment, view, now)


OVERDUE: Final = Timer(PURCHASES, "overdue", of=ORDER, after="dispatch_after_s")


def since_it_may_be_sent(_event: Event, recorded_at: datetime) -> datetime:
    """The setting says how long a warehouse may take."""
    return recorded_at


for _begun in (OrderConfirmed, HoldLifted):
    OVERDUE.set_by(_begun)(since_it_may_be_sent)


OVERDUE.cleared_by(OrderHeld, OrderShipped, OrderCancelled, OrderRejected, DispatchOverdue)


@OVERDUE.fires
def remind(order: Order | None, _view: DecisionView, now: datetime) -> Sequence[Event]:
    """Note that the order should have left, unless it has."""
    assert order is not None, "an order that was confirmed has no state"
    return holding.note_overdue(order, now=now)


def _scheduled(
    event: PaymentAuthorised | VoidFailed, purchase: PurchaseSteps, view: DecisionView, now: datetime
) -> list[Event]:
    """Have the timer of a hold set for the first of what pays instead that expires, unless the event sets it so."""
    first = expires_first(purchase, view, now=now)
    if isinstance(event, PaymentAuthorised) and event.expires_at == first:
        return []
    return purchasing.schedule_expiry(purchase, expires_at=first, now=now)


def _renewed(order: Order, payment: Payment, now: datetime) -> tuple[Appended, ...]:
    """Have what is not held any more held again, and the order kept until it is."""
    renewed = ending.renew(payment, now=now)
    return (*_held(order, now), *events_of(PAYMENT, payment.payment_id, renewed)) if renewed else ()


def _held(order: Order, now: datetime) -> tuple[Appended, ...]:
    """Keep an order from being shipped whose amount is not held any more; one that is placed is not shipped anyway."""
    if order.status is not Status.CONFIRMED:
        return ()
    return _order(order, holding.hold(order, order_id=order.order_id, reason="payment", now=now))


def _paid(order_id: OrderId) -> Streams:
    return [(ORDER, order_id), (PURCHASE, order_id), (PAYMENT, payment_of(order_id))]


def _found(event: PaymentOutcome, view: DecisionView) -> tuple[Order, PurchaseSteps, Payment] | None:
    """The purchase that a payment is of; None: of none."""
    return _purchase_of(event.order_id, view) if event.payment_id == payment_of(event.order_id) else None


def _purchase_of(order_id: OrderId, view: DecisionView) -> tuple[Order, PurchaseSteps, Payment] | None:
    """An order with its purchase and the payment that this was requested with; None: it was placed without a method."""
    order = view.current(ORDER, order_id)
    purchase, payment = view.current(PURCHASE, order_id), view.current(PAYMENT, payment_of(order_id))
    if order is None or purchase is None or payment is None:
        return None
    return order, purchase, payment


def _go_on(
    order: Order, purchase: PurchaseSteps, payment: Payment, view: DecisionView, now: datetime
) -> Decision:
    """What the order leaves to be done with a payment of it; nothing while it waits or is confirmed.

    Where it has left, whatever pays for it is collected: of those that were not to be had some may be, by now.
    """
    decided: tuple[Appended, ...] = ()
    if _is_off(order, purchase):
        decided = events_of(PAYMENT, payment.payment_id, ending.let_go(payment, now=now))
    elif order.status is Status.SHIPPED:
        decided = collect(purchase, view, now=now)
    return Decision(decided) if decided else Rejected()


def _is_off(order: Order, purchase: PurchaseSteps) -> bool:
    """Whether nothing is collected for it any more: it was cancelled, or its lost parcel refunded."""
    return order.status is Status.CANCELLED or (order.status is Status.SHIPPED and purchase.is_unwound)


def _is_missed(event: PaymentOutcome, order: Order, purchase: PurchaseSteps) -> bool:
    """Whether money of what has left was not to be had; that a method was declined for good is noted once."""
    if order.status is not Status.SHIPPED or purchase.is_unwound:
        return False
    if isinstance(event, AuthorisationDeclined):
        return event.retryable or event.payment_id not in purchase.uncollected
    return isinstance(event, CaptureFailed)


def _not_collected(event: PaymentOutcome, purchase: PurchaseSteps, now: datetime) -> Decision:
    missed = purchasing.miss_money(purchase, payment_id=event.payment_id, now=now)
    return Decision(events_of(PURCHASE, purchase.order_id, missed))


def _needed(
    event: AuthorisationDeclined | CustomerActionRequired,
    purchase: PurchaseSteps,
    reason: PaymentNeed,
    now: datetime,
) -> tuple[Appended, ...]:
    needed = purchasing.need_payment(
        purchase, payment_id=event.payment_id, reason=reason, attempt=event.attempt, now=now
    )
    return events_of(PURCHASE, purchase.order_id, needed)


def _order(order: Order, events: Sequence[Event]) -> tuple[Appended, ...]:
    return events_of(ORDER, order.order_id, events)
