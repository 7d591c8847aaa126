"""Whether a payment provider's ledger, a log and views say the same of the money of each order, to the minor unit.

T1  under each key the provider moved money once, and for an order never more than that costs
T2  what is held, was captured and was refunded is the same in the provider's ledger, in the log and in the order's
    payments, and the payments ledger has the same captures and refunds, and the same store credit and cash
T3  what came of an order is what its plan comes to, and nothing is held or kept for it any more
T4  the postings of each entry, of each order and of all are zero in all
T5  what the shop owes customers is the same in the log, in the payments ledger and in the balances that it shows

Nothing here is imported from the product. `views` are rows of its tables.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import psycopg

from tests.effects.checker import Violation

PROVIDED = {
    "authorised": {"held": 1},
    "captured": {"held": -1, "captured": 1},
    "released": {"held": -1},
    "refunded": {"refunded": 1},
}
"""How what the provider decided changes what it has of an order."""

LOGGED = {
    "payments.payment_authorised.v1": {"held": 1},
    "payments.authorisation_expired.v1": {"held": -1},
    "payments.authorisation_voided.v1": {"held": -1},
    "payments.payment_captured.v1": {"held": -1, "captured": 1},
    "payments.manual_payment_recorded.v1": {"by_hand": 1},
    "payments.credit_spent.v1": {"spent": 1},
    "payments.credit_returned.v1": {"spent": -1},
}
"""How an event does; a refund depends on where it goes."""

BOOKED = {
    ("capture", "provider"): {"captured": 1},
    ("refund", "provider"): {"refunded": -1},
    ("refund", "store_credit"): {"credited": -1},
    ("credit-spent", "store_credit"): {"spent": 1},
    ("credit-returned", "store_credit"): {"spent": 1},
    ("manual", "till"): {"by_hand": 1},
}
"""And how a posting does, by the kind of its entry and by its account."""

CREDIT = {
    "payments.credit_issued.v1": (1, 0),
    "payments.credit_held.v1": (0, 1),
    "payments.credit_released.v1": (0, -1),
    "payments.credit_spent.v1": (-1, -1),
    "payments.credit_returned.v1": (1, 0),
    "payments.credit_expired.v1": (-1, 0),
}
"""How an event of store credit changes what is owed, and what of it is held."""

AT_PROVIDER = ("held", "captured", "refunded")
MOVEMENTS = ("captured", "refunded", "credited", "spent", "by_hand")
"""A hold moves nothing."""

Event = tuple[str, dict]


@dataclass(frozen=True)
class Wanted:
    """What the plan of an order comes to, in minor units: `refunded` by the provider, `credited` to the customer."""

    total: int
    captured: int = 0
    refunded: int = 0
    credited: int = 0
    spent: int = 0
    by_hand: int = 0


@dataclass
class Views:
    """Rows that say something of money.

    `paid` are (order, held, captured, refunded), `postings` are (order, entry, account, amount), `balances` are what
    each customer is shown.
    """

    paid: list[tuple[str, int, int, int]] = field(default_factory=list)
    postings: list[tuple[str | None, str, str, int]] = field(default_factory=list)
    balances: list[tuple[str, int]] = field(default_factory=list)


def log_of(url: str) -> list[Event]:
    """Everything that the log says of money, as (type, body)."""
    with psycopg.connect(url, autocommit=True) as conn:
        rows = conn.execute(
            "select type, payload::text from log.event where type like 'payments.%' order by position"
        ).fetchall()
    return [(kind, json.loads(body)) for kind, body in rows]


def views_of(url: str) -> Views:
    """The rows of the live builds."""
    with psycopg.connect(url, autocommit=True) as conn:
        live = {
            view: f"views.{view}_s{shape}_b{build}"
            for view, shape, build in conn.execute("select view, shape, build from views.live").fetchall()
        }
        columns = {
            "order_payments": "order_id, authorised - captured, captured, refunded",
            "payment_ledger": "order_id, entry, account, amount",
            "store_credit_details": "customer_id, balances",
        }
        paid, postings, credit = (
            conn.execute(f"select {names} from {live[view]} where not deleted").fetchall()
            for view, names in columns.items()
        )
    return Views(
        paid=paid,
        postings=postings,
        balances=[(customer, sum(each["balance"] for each in balances)) for customer, balances in credit],
    )


def violations(
    ledger: list[dict], log: list[Event], views: Views, wanted: dict[str, Wanted]
) -> list[Violation]:
    """Every law that does not hold. `ledger` is what the provider wrote down, `wanted` is by order."""
    provided, logged, booked = _provided(ledger, log), _logged(log), _booked(views)
    return [
        *_moved_once(ledger),
        *_no_more_than_it_costs(provided, logged, wanted),
        *_the_same(provided, logged, booked, views),
        *_as_planned(logged, wanted),
        *_zero_in_all(views),
        *_owed(log, views),
    ]


def _decided(ledger):
    """Entries about money that moved."""
    for entry in ledger:
        if entry["did"] == "decided" and entry["answer"]["status"] in PROVIDED:
            yield entry["key"], entry["answer"]


def _provided(ledger, log):
    """The provider's own books, added up anew; a payment that the log does not have is of no order."""
    order_of = {
        body["payment_id"]: body["order_id"] for _, body in log if {"payment_id", "order_id"} <= {*body}
    }
    sums = defaultdict(Counter)
    for _, answer in _decided(ledger):
        payment = answer["payment"]
        _add(
            sums[order_of.get(payment, f"none, for {payment}")], PROVIDED[answer["status"]], answer["amount"]
        )
    return sums


def _logged(log):
    sums = defaultdict(Counter)
    for kind, body in log:
        if kind == "payments.refund_succeeded.v1":
            changes = {"refunded" if body["to"] == "original" else "credited": 1}
        else:
            changes = LOGGED.get(kind, {})
        if changes:
            _add(sums[body["order_id"]], changes, body.get("released", body["amount"]))
    return sums


def _booked(views):
    sums = defaultdict(Counter)
    for order, entry, account, amount in views.postings:
        if order is not None:
            _add(sums[order], BOOKED.get((entry.partition(":")[0], account), {}), amount)
    return sums


def _add(sums, changes, amount):
    for name, sign in changes.items():
        sums[name] += sign * amount


def _moved_once(ledger):
    times = Counter((key, answer["status"]) for key, answer in _decided(ledger))
    for (key, status), count in times.items():
        if count > 1:
            yield Violation("T1", f"{key} was {status} {count} times")


def _no_more_than_it_costs(provided, logged, wanted):
    for order, sums in provided.items():
        total = wanted[order].total if order in wanted else 0
        if sums["held"] + sums["captured"] + logged[order]["spent"] > total:
            yield Violation("T1", f"{order} costs {total}, and of it are {dict(sums)}")
        if sums["refunded"] > sums["captured"]:
            yield Violation("T1", f"more of {order} was refunded than captured: {dict(sums)}")


def _the_same(provided, logged, booked, views):
    shown = {order: tuple(sums) for order, *sums in views.paid}
    for order in sorted({*provided, *logged, *booked, *shown}):
        log = logged[order]
        compared = {
            "the provider": (_of(provided[order], AT_PROVIDER), _of(log, AT_PROVIDER)),
            "the payments ledger": (_of(booked[order], MOVEMENTS), _of(log, MOVEMENTS)),
            "what the order's payments are": (
                shown.get(order, (0, 0, 0)),
                (log["held"], log["captured"] + log["by_hand"], log["refunded"] + log["credited"]),
            ),
        }
        for what, (says, expected) in compared.items():
            if says != expected:
                yield Violation("T2", f"{order}: {what} says {says}, the log {expected}")


def _as_planned(logged, wanted):
    for order, plan in wanted.items():
        came, expected = (
            _of(logged[order], ("held", *MOVEMENTS)),
            (0, *(getattr(plan, name) for name in MOVEMENTS)),
        )
        if came != expected:
            yield Violation("T3", f"{order} came to {came} instead of {expected}")


def _of(sums, names):
    return tuple(sums[name] for name in names)


def _zero_in_all(views):
    entries, orders = Counter(), Counter()
    for order, entry, _, amount in views.postings:
        entries[order, entry] += amount
        orders[order] += amount
    for what, sums in (("entry", entries), ("order", orders)):
        for of, amount in sums.items():
            if amount:
                yield Violation("T4", f"the postings of {what} {of} are {amount} in all")


def _owed(log, views) -> Iterator[Violation]:
    owed, kept = Counter(), Counter()
    for kind, body in log:
        if kind in CREDIT:
            more, held = CREDIT[kind]
            owed[body["customer_id"]] += more * body["amount"]
            kept[body["customer_id"]] += held * body["amount"]
    if +owed != +Counter(dict(views.balances)):
        yield Violation("T5", f"{dict(owed)} is owed, and shown are {views.balances}")
    booked = -sum(amount for _, _, account, amount in views.postings if account == "store_credit")
    if booked != owed.total():
        yield Violation("T5", f"{owed.total()} is owed, and the payments ledger says {booked}")
    for customer, amount in kept.items():
        if amount:
            yield Violation("T3", f"{amount} of store credit is still held of {customer}")
