"""Mails to the buyer: what becomes of an order is written to the address that its contact data has.

The warehouse is written to about an order that should have left. Mails to buyers are about a contract that they asked
for, so no consent to marketing is needed, and none is looked for. Runs only where a mail server is configured.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, TypeVar

from commands.decision import Appended, Decision, DecisionView, events_of
from commands.processes.process import Process, Streams
from domain.event import Event
from domain.ids import OrderId
from domain.mail.events import MailId
from domain.mail.mail import MAIL, id_about, request_mail
from domain.mail.templates import (
    DISPATCH_OVERDUE,
    LOSS_SETTLED,
    ORDER_CANCELLED,
    ORDER_CONFIRMED,
    ORDER_DELAYED,
    ORDER_RECEIVED,
    ORDER_REJECTED,
    ORDER_SHIPPED,
    PARCEL_NUMBER,
    PAYMENT_NEEDED,
    REFUND_MADE,
    Template,
)
from domain.money import Currency, Minor, decimal
from domain.ordering.events import (
    CancellationReason,
    DispatchOverdue,
    OrderCancelled,
    OrderConfirmed,
    OrderPlaced,
    OrderRejected,
    OrderShipped,
    PaymentNeed,
    PaymentNeeded,
)
from domain.ordering.order import ORDER, Order, Status
from domain.payments.events import ManualRefundRecorded, RefundSucceeded
from domain.shipping.events import LabelBought, LossSettled, ManualLabelRecorded, Remedy
from event_store.consumers.starting import HEAD

ORDER_MAILS: Final = Process("order-mails", writes=(MAIL,), start=HEAD, gateway="mail")

NOT_OLDER_THAN: Final = timedelta(days=7)
"""An order that was placed longer ago was brought along from elsewhere: its buyer knows what became of it.

What the shop notes itself is as old as its note: an order may have waited for its pieces for weeks.
"""

UNPAID: Final = frozenset((Status.PLACED, Status.CONFIRMED))
"""Orders whose buyer may still pay."""

WAREHOUSE: Final = "warehouse"
"""The recipient of mails to the warehouse, whose address is a setting."""

_NOT_IN_STOCK: Final = "not all of it is in stock"
_UNDECIDED: Final = "we could not decide about it in time"
_OFF: Final = "it could not be completed"

_NEEDS: Final[dict[PaymentNeed, str]] = {
    "declined": "the payment was declined",
    "action_required": "your bank wants you to confirm the payment",
}
"""What a buyer can do something about."""

_CANCELLED: Final[dict[CancellationReason, str]] = {
    "declined": "the payment was declined",
    "expired": "it was not paid in time",
    "inventory": _NOT_IN_STOCK,
}
"""Why an order was cancelled by the shop, as far as its buyer is to know."""

_ON_ITS_WAY: Final = "on its way to you; until it is on your account a few days may pass"
_STORE_CREDIT: Final = "store credit, for your next order"

_SETTLED: Final[dict[Remedy, str]] = {
    "refund": "you get back the money that you paid for it",
    "replacement": "we send you the same once more",
}

E = TypeVar(
    "E",
    OrderPlaced,
    OrderConfirmed,
    OrderRejected,
    OrderCancelled,
    OrderShipped,
    PaymentNeeded,
    LabelBought,
    ManualLabelRecorded,
    LossSettled,
    RefundSucceeded,
    ManualRefundRecorded,
)


def _mail(
    trigger: type[E],
    template: Template | Callable[[E], Template],
    parameters: Callable[[E], dict[str, str]],
    *,
    about: Callable[[E], tuple[str, ...]] = lambda event: (event.order_id,),
    wanted: Callable[[E, Order], bool] = lambda *_: True,
    since: Callable[[E, Order], datetime] = lambda _, order: order.placed_at,
) -> None:
    """Declare that an event about an order is followed by one mail for each thing that it is `about`.

    Nothing is written once `since`, usually when the order was placed, is longer ago than `NOT_OLDER_THAN`.
    """

    def named(event: E) -> tuple[Template, MailId]:
        chosen = template if isinstance(template, Template) else template(event)
        return chosen, id_about("order", chosen.name, *about(event))

    def streams(event: E) -> Streams:
        _, mail_id = named(event)
        return [(ORDER, event.order_id), (MAIL, mail_id)]

    def write(event: E, view: DecisionView, now: datetime) -> Decision:
        order_id = OrderId(event.order_id)
        order = view.current(ORDER, order_id)
        if order is None or not order.reachable or now - since(event, order) > NOT_OLDER_THAN:
            return Decision()
        if not wanted(event, order):
            return Decision()
        assert order.customer_id is not None, "an order with contact data has a customer"
        chosen, mail_id = named(event)
        filled = {"order": order_id, **parameters(event)}
        return Decision(_requested(view, chosen, mail_id, to=order.customer_id, parameters=filled, now=now))

    ORDER_MAILS.when(trigger, reads=streams)(write)


def _requested(
    view: DecisionView,
    template: Template,
    mail_id: MailId,
    *,
    to: str,
    parameters: dict[str, str],
    now: datetime,
) -> tuple[Appended, ...]:
    before = view.current(MAIL, mail_id)
    requested: list[Event] = request_mail(
        before, template, mail_id=mail_id, recipient_ref=to, now=now, parameters=parameters
    )
    return events_of(MAIL, mail_id, requested)


def _total(event: OrderPlaced | OrderConfirmed) -> dict[str, str]:
    return {"total": _money(event.total, event.currency)}


def _money(amount: Minor, currency: Currency) -> str:
    return f"{decimal(amount, currency=currency)} {currency}"


def _refund(event: RefundSucceeded | ManualRefundRecorded) -> dict[str, str]:
    to_credit = isinstance(event, RefundSucceeded) and event.to == "store_credit"
    return {
        "amount": _money(event.amount, event.currency),
        "where": _STORE_CREDIT if to_credit else _ON_ITS_WAY,
    }


def _refunded(event: RefundSucceeded | ManualRefundRecorded) -> tuple[str, ...]:
    return event.payment_id, event.refund_id


def _number(event: LabelBought | ManualLabelRecorded) -> dict[str, str]:
    return {"number": event.tracking}


def _remedy(event: LossSettled) -> dict[str, str]:
    return {"what": _SETTLED[event.remedy]}


def _parcel(event: LabelBought | ManualLabelRecorded | LossSettled) -> tuple[str, ...]:
    return event.order_id, str(event.attempt)


def _rejection(event: OrderRejected) -> dict[str, str]:
    return {"why": {"stock": _NOT_IN_STOCK, "undecided": _UNDECIDED}.get(event.reason, _OFF)}


def _is_unpaid(event: PaymentNeeded, order: Order) -> bool:
    return order.status in UNPAID and event.reason in _NEEDS


_mail(OrderPlaced, ORDER_RECEIVED, _total)
_mail(OrderConfirmed, ORDER_CONFIRMED, _total)
_mail(OrderRejected, ORDER_REJECTED, _rejection)
_mail(
    OrderCancelled,
    lambda event: ORDER_CANCELLED if event.reason == "customer" else ORDER_REJECTED,
    lambda event: {} if event.reason == "customer" else {"why": _CANCELLED.get(event.reason, _OFF)},
    since=lambda event, _: event.cancelled_at,
)
_mail(
    PaymentNeeded,
    PAYMENT_NEEDED,
    lambda event: {"why": _NEEDS[event.reason]},
    about=lambda event: (event.payment_id, str(event.attempt)),
    wanted=_is_unpaid,
    since=lambda event, _: event.needed_at,
)
_mail(OrderShipped, ORDER_SHIPPED, lambda _: {}, since=lambda event, _: event.shipped_at)
_mail(LabelBought, PARCEL_NUMBER, _number, about=_parcel, since=lambda event, _: event.bought_at)
_mail(ManualLabelRecorded, PARCEL_NUMBER, _number, about=_parcel, since=lambda event, _: event.recorded_at)
_mail(LossSettled, LOSS_SETTLED, _remedy, about=_parcel, since=lambda event, _: event.settled_at)
_mail(RefundSucceeded, REFUND_MADE, _refund, about=_refunded, since=lambda event, _: event.succeeded_at)
_mail(ManualRefundRecorded, REFUND_MADE, _refund, about=_refunded, since=lambda event, _: event.recorded_at)


def order_and_reminders(event: DispatchOverdue) -> Streams:
    """The order, and the two mails about its being late."""
    return [(ORDER, event.order_id), *((MAIL, each) for each in _reminders(event))]


@ORDER_MAILS.when(DispatchOverdue, reads=order_and_reminders)
def remind(event: DispatchOverdue, view: DecisionView, now: datetime) -> Decision:
    """Remind the warehouse of an order that should have left, and let its buyer choose; nothing once it left."""
    order = view.current(ORDER, event.order_id)
    if order is None or order.status is not Status.CONFIRMED or now - event.noted_at > NOT_OLDER_THAN:
        return Decision()
    to_warehouse, to_buyer = _reminders(event)
    since = {"order": event.order_id, "since": f"{event.waiting_since:%Y-%m-%d %H:%M} UTC"}
    mails = _requested(view, DISPATCH_OVERDUE, to_warehouse, to=WAREHOUSE, parameters=since, now=now)
    if order.reachable and order.customer_id is not None:
        of_it = {"order": str(event.order_id)}
        mails += _requested(view, ORDER_DELAYED, to_buyer, to=order.customer_id, parameters=of_it, now=now)
    return Decision(mails)


def _reminders(event: DispatchOverdue) -> tuple[MailId, MailId]:
    about = (event.order_id, str(event.reminder))
    return id_about("order", DISPATCH_OVERDUE.name, *about), id_about("order", ORDER_DELAYED.name, *about)
