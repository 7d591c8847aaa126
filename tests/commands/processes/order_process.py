"""The rows of the order process, each with its test, and docs/order-process.md, which is generated from both.

`python -m tests.commands.processes.order_process` runs the tests and writes the page with what came of them; with
TEST_SIZES=full, at their full size.
"""

import re
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Final

import pytest
from msgspec import Struct

ROOT: Final = Path(__file__).parents[3]
PAGE: Final = ROOT / "docs" / "order-process.md"
TESTS: Final = tuple(
    Path(__file__).with_name(name)
    for name in (
        "test_order_process.py",
        "test_confirmed_orders.py",
        "test_held_amounts.py",
        "test_collected_instead.py",
        "test_dispatch.py",
        "test_order_mails_sent.py",
    )
)
NOT_DONE: Final = "not done"
PASSED: Final = "passed"


class Row(Struct, frozen=True):
    """What happens, what the process does about it, and the test that shows it; `not_done`: why there is none."""

    happens: str
    reaction: str
    test: str
    not_done: str = ""


ROWS: Final = (
    Row(
        "stock suffices, and the provider holds the amount",
        "the order is confirmed",
        "test_an_order_is_confirmed_once_its_stock_is_reserved_and_its_amount_held",
    ),
    Row(
        "the order is shipped",
        "all that is held is captured",
        "test_a_shipped_order_is_captured",
    ),
    Row(
        "stock does not suffice",
        "rejected, with all that is missing; no provider is asked for money",
        "test_an_order_that_is_short_of_stock_is_rejected_and_no_provider_is_asked",
    ),
    Row(
        "the method is declined for good",
        "cancelled (`declined`), stock released, payment closed",
        "test_a_hard_decline_cancels_the_order_and_releases_its_stock",
    ),
    Row(
        "the method is declined, and may work another time",
        "payment needed: the buyer names another method, stock stays reserved",
        "test_a_soft_decline_waits_for_another_method",
    ),
    Row(
        "three attempts are declined",
        "cancelled (`declined`), stock released, payment closed",
        "test_the_third_decline_cancels_the_order_and_releases_its_stock",
    ),
    Row(
        "the buyer has to confirm the payment",
        "payment needed (`action_required`), stock stays reserved; confirmed once the amount is held",
        "test_an_order_whose_buyer_has_to_confirm_the_payment_waits_for_that",
    ),
    Row(
        "the buyer does not pay in time",
        "the timer `unpaid` cancels (`expired`), stock released, payment closed",
        "test_an_order_whose_buyer_does_not_pay_is_cancelled_after_a_time",
    ),
    Row(
        "the buyer confirms after that",
        "what is held is voided",
        "test_a_payment_that_its_buyer_confirms_after_the_order_is_off_is_voided",
    ),
    Row(
        "the provider does not answer",
        "uncertain: the order waits with its stock, the timer `unpaid` decides nothing, and the sender finds the"
        " outcome under the same key",
        "test_an_order_waits_for_a_payment_that_nobody_knows_about_until_it_is_found",
    ),
    Row(
        "the outcome is found after a day, when the stock was released (vendure 3065)",
        "the timer `undecided` cancels (`expired`); what turns out to be held is voided at once",
        "test_a_payment_that_is_found_after_the_stock_was_released_is_voided",
    ),
    Row(
        "the order is cancelled while the payment is requested",
        "stock is released at once, what turns out to be held is voided",
        "test_what_is_held_for_an_order_that_was_cancelled_meanwhile_is_voided",
    ),
    Row(
        "the order is cancelled at whatever moment",
        "neither stock nor money stays",
        "test_an_order_that_is_cancelled_at_any_moment_keeps_neither_stock_nor_money",
    ),
    Row(
        "a confirmed order is cancelled",
        "stock released, payment voided",
        "test_a_confirmed_order_that_is_cancelled_is_released_and_voided",
    ),
    Row(
        "an order is cancelled after its money was captured",
        "refunded",
        "test_what_was_captured_for_an_order_that_is_cancelled_is_refunded",
    ),
    Row(
        "an order is cancelled while its money is being captured",
        "refunded once it was captured",
        "test_what_is_being_captured_when_an_order_is_cancelled_is_refunded",
    ),
    Row(
        "a bank disputed what was captured for an order that is cancelled, and gives it back",
        "refunded once the dispute is won",
        "test_what_a_bank_gives_back_after_an_order_was_cancelled_is_refunded",
    ),
    Row(
        "the void fails",
        "requested again, three times in all; then the hold expires by itself",
        "test_a_void_that_fails_is_tried_again_some_times",
    ),
    Row(
        "the refund fails",
        "requested again, three times in all; then the payment waits for somebody (`refund_failed`)",
        "test_a_refund_that_fails_is_tried_again_some_times",
    ),
    Row(
        "two authorisations collected it, and the refund to one of them fails every time",
        "the share of the other goes back; the payment waits for somebody (`refund_failed`), with the rest",
        "test_what_another_authorisation_collected_is_refunded_though_one_refuses",
    ),
    Row(
        "refunds of staff failed or came back before the order is cancelled, or its lost parcel settled",
        "all that is left is refunded: only refunds of the process itself count as its tries",
        "test_a_cancelled_order_is_refunded_whatever_came_of_refunds_before",
    ),
    Row(
        "a refund was reversed",
        "the payment waits for somebody (`refund_reversed`), and nothing is requested by itself",
        "test_a_refund_that_comes_back_waits_for_somebody",
    ),
    Row(
        "what waits for somebody is sent to another destination",
        "to store credit, or recorded by hand: the payment waits no longer",
        "test_what_was_not_refunded_is_sent_to_another_destination",
    ),
    Row(
        "the authorisation expires before the order is shipped",
        "the timer `hold` has it authorised again",
        "test_an_authorisation_that_expires_before_the_order_is_shipped_is_requested_again",
    ),
    Row(
        "the staff would ship it before that timer is fired",
        "refused (`order-is-held`), until it is authorised again",
        "test_an_order_whose_authorisation_expired_is_not_shipped_before_it_is_held_again",
    ),
    Row(
        "it expires while the outcome of a capture is awaited, which fails",
        "authorised again after that, and the order held (`payment`) until it is",
        "test_an_authorisation_that_expires_during_a_capture_is_requested_again_once_that_failed",
    ),
    Row(
        "it is not authorised again",
        "payment needed; the order stays confirmed, is held (`payment`), and not dispatched",
        "test_an_order_whose_amount_is_not_held_again_is_held_and_not_dispatched",
    ),
    Row(
        "nobody knows whether it is authorised again",
        "the order is held (`payment`) from when that is requested until the amount is held",
        "test_an_order_is_held_while_nobody_knows_whether_its_amount_is_held_again",
    ),
    Row(
        "a held order is paid by another method",
        "the hold is lifted, and the order dispatched",
        "test_an_order_that_was_held_is_dispatched_once_its_amount_is_held_by_another_method",
    ),
    Row(
        "finance voids the payment of a confirmed order",
        "the order is held (`payment`), and not dispatched, nor in the moment before it is held",
        "test_a_confirmed_order_whose_payment_is_voided_is_held_and_not_dispatched",
    ),
    Row(
        "the provider has no answer to that, or does not release it",
        "the order is held (`payment`) from when the void is requested until it has failed",
        "test_a_confirmed_order_is_held_while_its_payment_is_being_voided",
    ),
    Row(
        "it is paid in another way then",
        "the hold is lifted by an amount that is no less than the rest, and the order dispatched",
        "test_an_order_whose_payment_is_voided_is_dispatched_once_it_is_paid_in_another_way",
    ),
    Row(
        "several payments and store credit pay for it then",
        "the hold is lifted once they are together no less than the rest, and the order dispatched",
        "test_an_order_whose_payment_is_voided_is_dispatched_once_several_amounts_pay_it",
    ),
    Row(
        "what pays instead is voided, too, before the order is shipped",
        "the order is held (`payment`) again until it is paid, as often as that happens, and not dispatched meanwhile,"
        " nor in the moment before it is held",
        "test_an_order_is_held_as_often_as_what_pays_instead_of_its_payment_is_voided",
    ),
    Row(
        "its authorisation, or the first of several, expires before the order is shipped",
        "the timer `hold` has the order held (`payment`) until the amount is held again; a shipment is refused before"
        " that, too",
        "test_an_order_is_held_from_when_what_pays_instead_of_its_payment_expires",
    ),
    Row(
        "it is cancelled while another payment pays instead, is asked for or is being captured",
        "that one is voided, or refunded, too; what was paid by hand goes back by hand",
        "test_what_pays_instead_of_a_payment_is_let_go_of_when_the_order_is_cancelled",
    ),
    Row(
        "it is shipped while others pay instead, or on credit before they do",
        "all that they hold is captured, which is no more than the order costs; store credit is spent by finance",
        "test_what_pays_instead_of_a_payment_is_captured_when_the_order_is_shipped",
    ),
    Row(
        "the authorisation of a shipped order expires before it is captured",
        "authorised again, then captured",
        "test_a_shipped_order_whose_authorisation_expired_is_authorised_again_and_captured",
    ),
    Row(
        "staff lift the hold after the method was declined for good, and ship on credit",
        "payment needed (`not_collected`), once; the payment waits for somebody",
        "test_an_order_that_leaves_on_credit_is_noted_once_as_not_collected",
    ),
    Row(
        "stock is lost after the order was confirmed",
        "the order is held (`stock`), and dispatched once other pieces are reserved for it",
        "test_an_order_whose_stock_was_lost_is_held_until_other_pieces_are_reserved",
    ),
    Row(
        "it is cancelled meanwhile",
        "voided, or refunded; nothing of what is reserved for others is released",
        "test_an_order_that_is_cancelled_for_want_of_lost_stock_releases_nothing_of_others",
    ),
    Row(
        "the capture fails after dispatch",
        "the timer `collect` has it captured again after 1, 4 and 24 hours",
        "test_a_capture_that_fails_after_dispatch_is_tried_again_later",
    ),
    Row(
        "it fails every time",
        "a receivable: payment needed (`not_collected`), four times; the payment waits for somebody",
        "test_a_capture_that_fails_for_a_day_leaves_a_receivable",
    ),
    Row(
        "the capture of a payment that pays instead fails, or its authorisation expires before it",
        "as with its own: captured, or authorised, again; else that payment waits for somebody (`not_collected`)",
        "test_what_pays_instead_is_collected_in_the_end_or_waits_for_somebody",
    ),
    Row(
        "a cancellation races a dispatch",
        "decided by the version of the order's stream; money and stock follow the one that was recorded",
        "test_a_cancellation_that_races_a_dispatch_is_decided_by_the_version_of_the_order",
    ),
    Row(
        "a payment has the id of the order already",
        "cancelled (`other`); nothing is reserved or requested",
        "test_an_order_under_whose_id_there_is_another_payment_is_cancelled",
    ),
    Row(
        "stock does not suffice, and the rest may be backordered",
        "what is there is reserved; the order is held (`stock`), and dispatched once the rest came",
        "test_an_order_waits_for_backordered_pieces_and_is_dispatched_once_they_came",
    ),
    Row(
        "several orders wait",
        "the oldest gets what comes in",
        "test_of_two_orders_that_wait_the_older_gets_what_comes_in",
    ),
    Row(
        "an order that waits is cancelled",
        "it waits no more; what was reserved for it is released, and goes to others that wait",
        "test_an_order_that_is_cancelled_while_it_waits_leaves_nothing_reserved_or_waited_for",
    ),
    Row(
        "more is missing than may be backordered",
        "rejected, with all that is missing; nothing is reserved",
        "test_an_order_that_wants_more_than_may_be_backordered_is_rejected",
    ),
    Row(
        "stock is missing at one location, and another has all of it",
        "the whole order is reserved at that one",
        "test_an_order_is_taken_from_another_location_that_has_all_of_it",
    ),
    Row(
        "no location has all of it",
        "split over several, in the order of their priorities",
        "test_an_order_that_no_location_has_is_split_over_several",
    ),
    Row(
        "no location has the rest, which may be backordered",
        "what is there is reserved where it lies, and the rest goes to the order wherever it comes in",
        "test_what_no_location_has_is_waited_for",
    ),
    Row(
        "an order that was split is cancelled",
        "each location has its pieces back",
        "test_an_order_that_is_off_gives_its_pieces_back_where_they_lie",
    ),
    Row(
        "the order is not dispatched for three days",
        "the timer `overdue` notes it: the warehouse is reminded once, and the buyer is written to and may choose",
        "test_the_warehouse_is_reminded_of_an_order_that_it_does_not_dispatch_and_its_buyer_may_choose",
    ),
    Row(
        "the buyer does not wait",
        "cancelled: stock released, payment voided",
        "test_a_buyer_may_cancel_an_order_that_the_warehouse_is_reminded_of",
    ),
    Row(
        "the order is held meanwhile",
        "nobody is reminded; once the hold is lifted, the time counts anew",
        "test_a_held_order_is_not_late_until_some_time_after_its_hold_is_lifted",
    ),
    Row(
        "the parcel is lost, and its buyer gets the money back",
        "recorded and claimed by hand; what was captured is refunded once, also if that is known only later, and"
        " nothing is captured any more",
        "test_what_was_captured_for_a_lost_parcel_is_refunded_once",
    ),
    Row(
        "the same, and another payment pays instead of its voided one",
        "that one is voided, or refunded, too, also if it is known only later that it was captured",
        "test_what_pays_instead_for_a_lost_parcel_is_let_go_of_when_that_is_refunded",
    ),
    Row(
        "the parcel is lost, and its buyer gets another one",
        "its pieces are taken from stock again, and another label is requested, under a key of its own, once",
        "test_the_pieces_of_a_lost_parcel_are_sent_again_once_under_another_label",
    ),
    Row(
        "both are chosen",
        "the first counts, and the other is refused",
        "test_a_lost_parcel_is_refunded_or_sent_again_and_never_both",
    ),
    Row(
        "a mail is not taken, or its answer is lost",
        "sent again by itself: the mailbox has it once, or twice where the answer was lost, never a third time",
        "test_a_mail_that_is_not_taken_is_sent_again_by_itself",
    ),
    Row(
        "a mail is not taken for three days, or refused for good",
        "failed (`mail.mail_failed.v1`), and not sent again; the order goes on",
        "test_a_mail_that_is_not_taken_for_days_has_failed_and_the_order_goes_on",
    ),
    Row(
        "the order is off after a coupon was redeemed",
        "the redemption is released, once, so that somebody else may have it",
        "test_the_coupon_of_an_order_that_is_off_is_released_once",
    ),
)

_HEAD: Final = """# The order process

An order that is placed with a method of payment (`method_ref` of `POST /v1/carts/{cart_id}/order`) is confirmed once
its stock is reserved and its amount is held. One that is placed without, as by `POST /v1/orders`, is confirmed once its
stock is reserved ([ordering](contexts/ordering.md)). The amount is the total of the order: after what promotions take
off, and with the [tax](contexts/cart.md#taxes) that is added to prices.

```
placed ─▶ stock reserved, payment requested ─▶ held ─▶ confirmed ─▶ shipped ─▶ captured
   │               │   ▲
   ▼               ▼   │
rejected      payment needed ─▶ cancelled: stock released, payment voided or refunded
```

The process manager is `purchases` (`commands/processes/purchases.py`). The stream `purchase-<order_id>` has its steps,
and the [payment](contexts/payments.md) has the id of the order; reservations, payment and first step are one append. A
buyer whose method was declined names another one by `POST /v1/payments/{payment_id}/authorisation`, and has
`COUNTERFOIL_UNPAID_AFTER_S` (15 minutes) for each attempt. Other payments of such an order are not created before it is
confirmed.

A confirmed order is [held](contexts/ordering.md#holds) while its amount is not, from when the timer `hold` requests it
again, or its void, and from when what pays instead of a voided payment is voided or expires. A shipment reads the
payments itself, so it is refused before that, too. One that is only placed is not held after a day without an answer,
but cancelled: its stock would wait as long as the provider is silent, and what turns out to be held is voided
([ADR 93](adr/0093-stock-before-money.md)). The rows of mails are about neither payment nor stock: they are of the
process `order-mails` and of the sender, which `counterfoil_gateway_calls{gateway="mail"}` counts; a mail that cannot
be made is [parked](runbooks/parked-key.md) until somebody retries it ([mail](mail.md#delivery)). One that failed is
sent once more by a [copy](contexts/mail.md#copies).

A warehouse has `COUNTERFOIL_DISPATCH_AFTER_S` (three days) from when an order is confirmed, or the last of its holds
lifted. `GET /v1/order-history?fulfilment=overdue` lists those that should have left; `COUNTERFOIL_MAIL_WAREHOUSE` is
written to about each, and nobody if it is not set. `?fulfilment=lost` lists
[lost parcels](contexts/shipping.md#lost-parcels) that nobody has settled.

`GET /v1/payments?waiting=true` lists the payments that wait for somebody, with what for.

Each row is a test of the product's own deciders on a log in memory, under a scheduler that kills workers at every step,
repeats and delays what they do, and lets a second one act at the same time (`tests/commands/processes/buying.py`). The
page is generated by `python -m tests.commands.processes.order_process`, which runs the tests.

| row | reaction | test | last result |
|---|---|---|---|
"""


def rendered(results: Mapping[str, str]) -> str:
    """The page, with the result of each test by its name."""
    return _HEAD + "".join(
        f"| {row.happens} | {row.reaction} | {f'`{row.test}`' if row.test else ''} | {_result(row, results)} |\n"
        for row in ROWS
    )


def _result(row: Row, results: Mapping[str, str]) -> str:
    return f"{NOT_DONE}: {row.not_done}" if row.not_done else results.get(row.test, "")


def findings(page: str) -> list[str]:
    """Every row that is not shown, and what the page says otherwise than the rows."""
    return [*_untested(), *_unsaid(page)]


def _untested() -> Iterator[str]:
    defined = _defined()
    for row in ROWS:
        if row.not_done:
            continue
        if not row.test:
            yield f"{row.happens}: it names no test"
        elif row.test not in defined:
            yield f"{row.happens}: there is no test {row.test}"


def _unsaid(page: str) -> Iterator[str]:
    lines = rendered({row.test: PASSED for row in ROWS}).splitlines()
    written = [re.sub(rf" {PASSED}: .* \|$", f" {PASSED} |", line) for line in page.splitlines()]
    yield from (f"the page lacks: {line}" for line in lines if line not in written)
    yield from (f"the page has besides: {line}" for line in written if line not in lines)


@cache
def _defined() -> Mapping[str, Path]:
    """The module of each test."""
    return {
        name: path
        for path in TESTS
        for name in re.findall(r"^def (test_\w+)\(", path.read_text(encoding="utf-8"), re.MULTILINE)
    }


class Results:
    """What came of each test, over all first seeds that it is run with."""

    def __init__(self, schedules: int) -> None:
        self._outcomes: defaultdict[str, list[str]] = defaultdict(list)
        self._schedules = schedules

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note the outcome of the test itself."""
        if report.when == "call":
            self._outcomes[report.nodeid.rpartition("::")[2].partition("[")[0]].append(report.outcome)

    @property
    def by_test(self) -> Mapping[str, str]:
        """The last result of each, as the page says it."""
        return {
            name: shown(len(outcomes) * self._schedules) if set(outcomes) == {PASSED} else "failed"
            for name, outcomes in self._outcomes.items()
        }


def shown(schedules: int) -> str:
    """How the page says that a test passed."""
    return f"{PASSED}: {schedules} schedules"


def main() -> int:
    """Run the tests of all rows, and write the page."""
    from tests.sizes import ORDER_PROCESS

    results = Results(ORDER_PROCESS.chosen)
    names = [f"{_defined()[row.test]}::{row.test}" for row in ROWS if row.test]
    code = pytest.main(["-q", "-p", "no:cacheprovider", *names], plugins=[results])
    PAGE.write_text(rendered(results.by_test), encoding="utf-8")
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
