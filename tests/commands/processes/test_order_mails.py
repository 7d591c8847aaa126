"""What is written to a buyer about an order, and when nothing is."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from commands.processes.order_mails import NOT_OLDER_THAN, ORDER_MAILS
from counterfoil.testing.spec import given_streams
from domain import event as domain_event
from domain.mail.mail import MAIL
from domain.ordering.order import ORDER
from tests.examples import CONTACT, LONG_AGO, cancelled, confirmed, label_bought, placed, rejected, shipped
from tests.payment_examples import manual_refund_recorded, refund_succeeded
from tests.purchase_examples import dispatch_overdue, loss_settled, manual_label_recorded, payment_needed

NOW = LONG_AGO + timedelta(minutes=1)
PLACED = placed(contact=CONTACT)
OF_IT = {"order": PLACED.order_id}
ON_ITS_WAY = "on its way to you; until it is on your account a few days may pass"
REFUNDED = refund_succeeded(order_id=PLACED.order_id, amount=PLACED.total)
REFUNDED_BY_HAND = manual_refund_recorded(order_id=PLACED.order_id, amount=PLACED.total)
MAILS = {
    "placed": (PLACED, "order-received", {"total": "12.65 GBP"}),
    "confirmed": (confirmed(), "order-confirmed", {"total": "12.65 GBP"}),
    "short of stock": (rejected(), "order-rejected", {"why": "not all of it is in stock"}),
    "undecided": (
        rejected(reason="undecided", missing=()),
        "order-rejected",
        {"why": "we could not decide about it in time"},
    ),
    "cancelled unpaid": (
        cancelled(reason="expired"),
        "order-rejected",
        {"why": "it was not paid in time"},
    ),
    "cancelled by its buyer": (cancelled(reason="customer"), "order-cancelled", {}),
    "cancelled for want of stock": (
        cancelled(reason="inventory"),
        "order-rejected",
        {"why": "not all of it is in stock"},
    ),
    "cancelled by staff": (
        cancelled(reason="fraud"),
        "order-rejected",
        {"why": "it could not be completed"},
    ),
    "to be confirmed by its buyer": (
        payment_needed(reason="action_required"),
        "payment-needed",
        {"why": "your bank wants you to confirm the payment"},
    ),
    "declined": (payment_needed(), "payment-needed", {"why": "the payment was declined"}),
    "shipped": (shipped(), "order-shipped", {}),
    "a label": (label_bought(), "parcel-number", {"number": label_bought().tracking}),
    "a label that was bought by hand": (
        manual_label_recorded(),
        "parcel-number",
        {"number": manual_label_recorded().tracking},
    ),
    "a lost parcel that is refunded": (
        loss_settled(),
        "loss-settled",
        {"what": "you get back the money that you paid for it"},
    ),
    "a lost parcel that is replaced": (
        loss_settled(remedy="replacement"),
        "loss-settled",
        {"what": "we send you the same once more"},
    ),
    "a refund": (REFUNDED, "refund-made", {"amount": "12.65 GBP", "where": ON_ITS_WAY}),
    "a refund by hand": (REFUNDED_BY_HAND, "refund-made", {"amount": "12.65 GBP", "where": ON_ITS_WAY}),
    "a refund as store credit": (
        replace(REFUNDED, to="store_credit"),
        "refund-made",
        {"amount": "12.65 GBP", "where": "store credit, for your next order"},
    ),
}


def decided(event, *mails, order=(PLACED,), now=NOW):
    """The mails that are requested because of an event, where the order and its mails are as given."""
    reaction = ORDER_MAILS.reactions[domain_event.type_name(event)]
    (_, order_id), (aggregate, mail_id) = reaction.reads(event)
    assert MAIL is aggregate
    before = (*((ORDER, order_id, each) for each in order), *((MAIL, mail_id, each) for each in mails))
    return [mail for _, _, mail in reaction.decide(event, given_streams(*before).view, now).events]


@pytest.mark.parametrize("case", MAILS)
def test_the_buyer_is_written_to_once(case):
    event, template, parameters = MAILS[case]

    [mail] = decided(event)

    assert (template, PLACED.customer_id) == (mail.template, mail.recipient_ref)
    assert {**OF_IT, **parameters} == mail.parameters
    assert [] == decided(event, mail)


@pytest.mark.parametrize("case", MAILS)
@pytest.mark.parametrize(
    "order",
    [placed(), placed(contact=CONTACT.__class__(name=CONTACT.name))],
    ids=["without contact data", "without an address"],
)
def test_an_order_without_an_address_is_not_written_about(case, order):
    assert [] == decided(MAILS[case][0], order=(order,))


LATE = dispatch_overdue(order_id=PLACED.order_id, waiting_since=NOW, noted_at=NOW)
CONFIRMED = (PLACED, confirmed())


def reminded(*mails, event=LATE, order=CONFIRMED, now=NOW):
    """The templates that a late order is written about by."""
    reaction = ORDER_MAILS.reactions[domain_event.type_name(LATE)]
    before = (
        *((ORDER, PLACED.order_id, each) for each in order),
        *((MAIL, each.mail_id, each) for each in mails),
    )
    return [mail for _, _, mail in reaction.decide(event, given_streams(*before).view, now).events]


def test_warehouse_and_buyer_are_written_to_about_an_order_that_is_late_once_for_each_time():
    mails = reminded()

    of_it = {"order": PLACED.order_id}
    since = {**of_it, "since": f"{NOW:%Y-%m-%d %H:%M} UTC"}
    assert [
        ("dispatch-overdue", "warehouse", since),
        ("order-delayed", PLACED.customer_id, of_it),
    ] == [(each.template, each.recipient_ref, each.parameters) for each in mails]
    assert [] == reminded(*mails)


def test_a_buyer_without_an_address_is_not_asked_what_to_do():
    assert ["dispatch-overdue"] == [each.template for each in reminded(order=(placed(), confirmed()))]


@pytest.mark.parametrize("over", [shipped(), cancelled()], ids=["shipped", "cancelled"])
def test_nobody_is_written_to_about_an_order_that_is_late_no_more(over):
    assert [] == reminded(order=(*CONFIRMED, over))


def test_a_warehouse_that_may_take_weeks_is_reminded_once_they_are_over():
    weeks = NOW + timedelta(days=30)

    assert 2 == len(reminded(event=replace(LATE, noted_at=weeks), now=weeks))


def test_nobody_is_written_to_about_an_order_of_which_was_noted_long_ago_that_it_is_late():
    noted = replace(LATE, noted_at=NOW)

    assert [] == reminded(event=noted, now=NOW + NOT_OLDER_THAN + timedelta(seconds=1))


def test_an_order_of_long_ago_is_not_written_about():
    assert [] == decided(PLACED, now=LONG_AGO + NOT_OLDER_THAN + timedelta(seconds=1))


def test_each_parcel_of_an_order_has_a_number_of_its_own():
    [first] = decided(label_bought())

    assert first.mail_id != decided(label_bought(attempt=2))[0].mail_id


def test_an_order_that_waited_for_weeks_is_written_about_when_it_leaves_unless_that_was_long_ago():
    weeks = NOW + timedelta(days=30)
    left = (shipped(shipped_at=weeks), label_bought(bought_at=weeks), loss_settled(settled_at=weeks))

    for event in left:
        assert 1 == len(decided(event, now=weeks))
        assert [] == decided(event, now=weeks + NOT_OLDER_THAN + timedelta(seconds=1))


@pytest.mark.parametrize("over", [rejected(), cancelled(), shipped()], ids=lambda event: type(event).__name__)
def test_nobody_is_asked_to_pay_for_an_order_that_is_over(over):
    order = (PLACED, confirmed(), over) if type(over) is not type(rejected()) else (PLACED, over)

    assert [] == decided(payment_needed(), order=order)


def test_the_payment_of_an_order_that_waited_for_its_pieces_is_asked_for_unless_it_was_needed_long_ago():
    needed = NOW + timedelta(days=30)

    [mail] = decided(payment_needed(needed_at=needed), now=needed)

    assert "payment-needed" == mail.template
    assert [] == decided(payment_needed(needed_at=needed), now=needed + NOT_OLDER_THAN + timedelta(seconds=1))


def test_a_payment_is_asked_for_once_for_each_attempt_that_failed():
    [first] = decided(payment_needed())

    assert [] == decided(payment_needed(), first)
    assert first.mail_id != decided(payment_needed(attempt=2))[0].mail_id


def test_a_buyer_is_not_asked_to_pay_what_they_cannot_help():
    assert [] == decided(payment_needed(reason="not_collected"))


def test_each_refund_of_an_order_is_written_about():
    [first] = decided(REFUNDED)

    assert [] == decided(REFUNDED, first)
    assert first.mail_id != decided(replace(REFUNDED, refund_id="another"))[0].mail_id
