"""What becomes of an order, of its payments and of its parcel, in one row: three axes and a timeline.

The events of payments and of shipping belong to the partition of their order, so they come in the order of the log. One
about an order that is in no log, such as a payment of another shop's books, changes nothing.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from domain.event import Event
from domain.money import Minor
from domain.ordering.events import (
    BackorderFilled,
    DispatchOverdue,
    HoldLifted,
    OrderBackordered,
    OrderCancelled,
    OrderConfirmed,
    OrderHeld,
    OrderPlaced,
    OrderRejected,
    OrderShipped,
    OrderStockLost,
    OrderStockReplaced,
)
from domain.payments.events import (
    AuthorisationDeclined,
    AuthorisationExpired,
    AuthorisationRequested,
    AuthorisationUncertain,
    AuthorisationVoided,
    CaptureFailed,
    ChargebackLost,
    ChargebackOpened,
    ChargebackWon,
    CreditHoldStatus,
    CustomerActionRequired,
    ManualPaymentRecorded,
    ManualRefundRecorded,
    OrderCreditChanged,
    PaymentAuthorised,
    PaymentCaptured,
    RefundFailed,
    RefundReversed,
    RefundSucceeded,
)
from domain.shipping.events import (
    LabelBought,
    LabelRefused,
    LossClaimed,
    LossSettled,
    ManualLabelRecorded,
    ParcelLost,
)
from projections.measure import Measure
from projections.ordering.views import (
    FulfilmentAxis,
    OrderHistory,
    PaymentAxis,
    Status,
    Step,
    TimelineStep,
    order_history,
)

STEPS_MAX: Final = 200
"""Steps that a timeline shows: the newest, where there were more."""


@order_history.on(OrderPlaced)
def began(_history: None, event: OrderPlaced) -> OrderHistory:
    """The order begins its history."""
    return OrderHistory(
        order_id=event.order_id,
        customer_id=event.customer_id,
        status="placed",
        payment="none",
        fulfilment="unfulfilled",
        placed_at=event.placed_at,
        country=event.country,
        currency=event.currency,
        total=event.total,
        discounts=event.discounts,
        promotions=event.promotions,
        prices=event.prices,
        tax=event.tax,
        rounding=event.rounding,
        timeline=(TimelineStep(step="placed", at=event.placed_at, amount=event.total),),
    )


class _Lifecycle(Struct, frozen=True):
    """An event of the order itself: its status from then on, the parcel's, and the field with the time."""

    status: Status
    fulfilment: FulfilmentAxis
    at: str


_LIFECYCLE: Final[dict[type[Event], _Lifecycle]] = {
    OrderConfirmed: _Lifecycle("confirmed", "unfulfilled", "confirmed_at"),
    OrderRejected: _Lifecycle("rejected", "none", "rejected_at"),
    OrderCancelled: _Lifecycle("cancelled", "none", "cancelled_at"),
    OrderShipped: _Lifecycle("shipped", "shipped", "shipped_at"),
}


class _Happened(Struct, frozen=True):
    """An event about the order: its step, the field with the time, and the sums that its amount is added to."""

    step: Step
    at: str
    sums: dict[str, int] = {}
    asked: int = 0


_PAYMENT: Final[dict[type[Event], _Happened]] = {
    AuthorisationRequested: _Happened("payment_requested", "requested_at", asked=1),
    CustomerActionRequired: _Happened("payment_action_required", "required_at"),
    AuthorisationDeclined: _Happened("payment_declined", "declined_at", asked=-1),
    PaymentAuthorised: _Happened("payment_authorised", "authorised_at", {"held": 1}, asked=-1),
    AuthorisationExpired: _Happened("payment_expired", "expired_at", {"held": -1}),
    PaymentCaptured: _Happened("payment_captured", "captured_at", {"held": -1, "captured": 1}),
    CaptureFailed: _Happened("capture_failed", "failed_at"),
    ManualPaymentRecorded: _Happened("payment_captured", "recorded_at", {"captured": 1}),
    RefundSucceeded: _Happened("refund_succeeded", "succeeded_at", {"returned": 1}),
    ManualRefundRecorded: _Happened("refund_succeeded", "recorded_at", {"returned": 1}),
    RefundFailed: _Happened("refund_failed", "failed_at"),
    RefundReversed: _Happened("refund_reversed", "reversed_at", {"returned": -1}),
    ChargebackOpened: _Happened("chargeback_opened", "opened_at", {"disputed": 1}),
    ChargebackWon: _Happened("chargeback_won", "won_at", {"disputed": -1}),
    ChargebackLost: _Happened("chargeback_lost", "lost_at", {"disputed": -1, "returned": 1}),
}

_PARCEL: Final[dict[type[Event], _Happened]] = {
    LabelBought: _Happened("label_bought", "bought_at"),
    ManualLabelRecorded: _Happened("label_bought", "recorded_at"),
    LabelRefused: _Happened("label_refused", "refused_at"),
    LossClaimed: _Happened("loss_claimed", "claimed_at"),
}


@order_history.on(AuthorisationVoided)
def voided(history: OrderHistory | None, event: AuthorisationVoided) -> OrderHistory | None:
    """What was held is released; the rest of the amount was held by nobody."""
    if history is None:
        return None
    step = TimelineStep(
        step="payment_voided", at=event.voided_at, amount=event.released, payment_id=event.payment_id
    )
    return _with(replace(history, held=_not_below_zero(history.held - event.released)), step)


_CREDIT: Final[dict[CreditHoldStatus, tuple[Step, dict[str, int]]]] = {
    "held": ("credit_held", {"credit_held": 1}),
    "spent": ("credit_spent", {"credit_held": -1, "credit_spent": 1}),
    "released": ("credit_released", {"credit_held": -1}),
    "returned": ("credit_returned", {"credit_returned": 1}),
}


@order_history.on(OrderCreditChanged)
def credited(history: OrderHistory | None, event: OrderCreditChanged) -> OrderHistory | None:
    """Store credit pays for the order, or is its customer's again."""
    if history is None:
        return None
    step, sums = _CREDIT[event.status]
    return _with(
        replace(history, **_summed(history, sums, event.amount)),
        TimelineStep(step=step, at=event.changed_at, amount=event.amount),
    )


@order_history.on(OrderHeld)
def held(history: OrderHistory, event: OrderHeld) -> OrderHistory:
    """The parcel is not to be sent."""
    return _with_parcel(
        replace(history, holds=(*history.holds, event.reason)),
        TimelineStep(step="held", at=event.held_at, hold=event.reason),
    )


@order_history.on(HoldLifted)
def lifted(history: OrderHistory, event: HoldLifted) -> OrderHistory:
    """The parcel may be sent, once no hold is left."""
    return _with_parcel(
        replace(history, holds=tuple(each for each in history.holds if each != event.reason)),
        TimelineStep(step="hold_lifted", at=event.lifted_at, hold=event.reason),
    )


@order_history.on(OrderStockLost)
def stock_lost(history: OrderHistory, event: OrderStockLost) -> OrderHistory:
    """The hold says that the parcel waits for it."""
    return _with(history, TimelineStep(step="stock_lost", at=event.lost_at, sku=event.sku))


@order_history.on(OrderStockReplaced)
def stock_replaced(history: OrderHistory, event: OrderStockReplaced) -> OrderHistory:
    """There are other pieces."""
    return _with(history, TimelineStep(step="stock_replaced", at=event.replaced_at, sku=event.sku))


@order_history.on(OrderBackordered)
def backordered(history: OrderHistory, event: OrderBackordered) -> OrderHistory:
    """The hold says that the parcel waits for pieces that are not there."""
    return _with(history, TimelineStep(step="backordered", at=event.backordered_at, sku=event.sku))


@order_history.on(BackorderFilled)
def filled(history: OrderHistory, event: BackorderFilled) -> OrderHistory:
    """Some of them came, or all."""
    return _with(history, TimelineStep(step="backorder_filled", at=event.filled_at, sku=event.sku))


@order_history.on(DispatchOverdue)
def overdue(history: OrderHistory, event: DispatchOverdue) -> OrderHistory:
    """The parcel should have left; it waits for nothing but the warehouse."""
    return _with(
        replace(history, fulfilment="overdue"), TimelineStep(step="dispatch_overdue", at=event.noted_at)
    )


@order_history.on(ParcelLost)
def lost(history: OrderHistory | None, event: ParcelLost) -> OrderHistory | None:
    """The parcel does not arrive; somebody decides what its buyer gets for it."""
    if history is None:
        return None
    return _with(replace(history, fulfilment="lost"), TimelineStep(step="parcel_lost", at=event.lost_at))


@order_history.on(LossSettled)
def settled(history: OrderHistory | None, event: LossSettled) -> OrderHistory | None:
    """There is no parcel any more, or another one."""
    if history is None:
        return None
    if event.remedy == "refund":
        return _with(
            replace(history, fulfilment="none"), TimelineStep(step="loss_refunded", at=event.settled_at)
        )
    return _with(
        replace(history, fulfilment="shipped"), TimelineStep(step="loss_replaced", at=event.settled_at)
    )


def _with_parcel(history: OrderHistory, step: TimelineStep) -> OrderHistory:
    """Where the parcel stands after a hold began or ended; none is left of an order that is off."""
    if history.fulfilment in {"unfulfilled", "held", "overdue"}:
        history = replace(history, fulfilment="held" if history.holds else "unfulfilled")
    return _with(history, step)


def _attach_lifecycle(event_type: type[Event], changed: _Lifecycle) -> None:
    def moved(history: OrderHistory, event: Any) -> OrderHistory:
        at: datetime = getattr(event, changed.at)
        step = TimelineStep(step=changed.status, at=at)
        return _with_parcel(replace(history, status=changed.status, fulfilment=changed.fulfilment), step)

    order_history.on(event_type)(moved)


def _attach(event_type: type[Event], happened: _Happened) -> None:
    def noted(history: OrderHistory | None, event: Any) -> OrderHistory | None:
        if history is None:
            return None
        sums = _summed(history, happened.sums, getattr(event, "amount", 0))
        step = TimelineStep(
            step=happened.step,
            at=getattr(event, happened.at),
            amount=getattr(event, "amount", None),
            payment_id=getattr(event, "payment_id", None),
            tracking=getattr(event, "tracking", None),
        )
        asked = max(0, history.asked + happened.asked)
        return _with(replace(history, asked=asked, **sums), step)

    fold: Callable[[OrderHistory | None, Any], OrderHistory | None] = noted
    order_history.on(event_type)(fold)


for _event, _changed in _LIFECYCLE.items():
    _attach_lifecycle(_event, _changed)
for _event, _step in (*_PAYMENT.items(), *_PARCEL.items()):
    _attach(_event, _step)


def _with(history: OrderHistory, step: TimelineStep) -> OrderHistory:
    """One step more, and where the payments stand after it."""
    timeline = (*history.timeline, step)[-STEPS_MAX:]
    return replace(history, payment=_axis(history), timeline=timeline)


def _axis(history: OrderHistory) -> PaymentAxis:
    """Where the payments stand together, compared with the total of the order."""
    captured, held = history.captured + history.credit_spent, history.held + history.credit_held
    if captured and history.returned + history.credit_returned >= captured:
        return "refunded"
    if captured >= history.total > 0:
        return "captured"
    if captured:
        return "partial"
    if held:
        return "authorised" if held >= history.total else "partial"
    return "pending" if history.asked else "none"


def _summed(history: OrderHistory, sums: dict[str, int], amount: int) -> dict[str, Minor]:
    """The sums that an amount is added to, or taken from."""
    return {name: _not_below_zero(getattr(history, name) + sign * amount) for name, sign in sums.items()}


def _not_below_zero(amount: int) -> Minor:
    """A capture may come after what it takes expired."""
    return Minor(max(0, amount))


def _outcome(word: str) -> Callable[[Event], tuple[str, ...]]:
    return lambda _: (word,)


ORDERS: Final = Measure(
    name="counterfoil_orders",
    text="Orders by what became of them, and why.",
    labels=("outcome", "reason"),
    of={
        OrderPlaced: lambda _: ("placed", ""),
        OrderConfirmed: lambda _: ("confirmed", ""),
        OrderRejected: lambda event: ("rejected", event.reason),
        OrderCancelled: lambda event: ("cancelled", event.reason),
        OrderShipped: lambda _: ("shipped", ""),
    },
)

PAYMENTS: Final = Measure(
    name="counterfoil_payments",
    text="Outcomes of payments.",
    labels=("outcome",),
    of={
        AuthorisationUncertain: _outcome("uncertain"),
        CustomerActionRequired: _outcome("action_required"),
        AuthorisationDeclined: _outcome("declined"),
        PaymentAuthorised: _outcome("authorised"),
        AuthorisationExpired: _outcome("expired"),
        AuthorisationVoided: _outcome("voided"),
        PaymentCaptured: _outcome("captured"),
        ManualPaymentRecorded: _outcome("captured"),
        CaptureFailed: _outcome("capture_failed"),
        RefundSucceeded: _outcome("refunded"),
        ManualRefundRecorded: _outcome("refunded"),
        RefundFailed: _outcome("refund_failed"),
        RefundReversed: _outcome("refund_reversed"),
        ChargebackOpened: _outcome("chargeback_opened"),
        ChargebackWon: _outcome("chargeback_won"),
        ChargebackLost: _outcome("chargeback_lost"),
    },
)

VIEWS: Final = (order_history,)

MEASURES: Final = (ORDERS, PAYMENTS)
"""What a shop wants to see counted, next to what became of each order."""
