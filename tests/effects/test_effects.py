"""One label for each shipment and the money of each order, whatever providers, processes and the log go through."""

import asyncio
import contextlib

import pytest

from commands.gateways import labels
from projections.rebuild import rebuild
from projections.shipping.views import shipment_details
from runtime.settings import Settings
from tests.commands.processes.running import append
from tests.counterfoil.commanding import run
from tests.effects import checker, payment_checker
from tests.effects.campaign import Campaign, seed_of
from tests.effects.checker import BOUGHT, REFUSED, REQUESTED, LoggedEvent
from tests.effects.payment_checker import Wanted
from tests.effects.roles import CARRIER, ROLES, SEALER, SIMULATORS, Roles, Simulated
from tests.examples import label_bought, label_requested
from tests.sizes import EFFECTS_KILLS, EFFECTS_ORDERS


@contextlib.contextmanager
def carrier(ledger):
    """A simulated carrier while the block runs."""
    roles = Roles(ledger.parent, {CARRIER: Simulated(ledger, "")}, seed=7)
    roles.start(CARRIER)
    try:
        yield f"http://127.0.0.1:{roles.ports[CARRIER]}"
    finally:
        roles.kill_all()


@pytest.mark.faults
@pytest.mark.slow
def test_one_label_per_shipment_through_faults_kills_and_restores(tmp_path, database_url, postgres):
    """And the money of each order: the provider's ledger, the log and the views say the same."""
    seed = seed_of()
    print(f"EFFECTS_SEED={seed}")
    campaign = Campaign(
        tmp_path,
        postgres.url,
        database_url,
        seed,
        orders=EFFECTS_ORDERS.chosen,
        kills=EFFECTS_KILLS.chosen,
        answered_within_s=240.0,
    )

    assert [] == campaign.run()

    entries = [entry for ledger in campaign.ledgers.values() for entry in checker.ledger_of(ledger)]
    assert {"lose", "garble", "error"} <= {entry.get("fault") for entry in entries}, "too much went well"
    assert {*ROLES, SEALER, *SIMULATORS} == campaign.roles.killed
    webhooks = [body for kind, body in payment_checker.log_of(database_url) if kind == INGESTED]
    assert len(campaign.sales) < len(webhooks), "hardly any webhook was taken in"


def test_replaying_verifying_and_rebuilding_ask_nobody_for_anything(tmp_path, database_url):
    intents = [(f"shipment-{number}", 0, [label_requested(order_id=str(number))]) for number in range(3)]
    append(database_url, [*intents, ("shipment-0", 1, [label_bought(order_id="0")])])
    ledger = tmp_path / "ledger"
    with carrier(ledger) as url:
        environment = {"COUNTERFOIL_CARRIER_URL": url}
        replayed = run(tmp_path, "replay", "shipment-0", "--json", database_url=database_url, **environment)
        audited = run(tmp_path, "audit", "verify", "--json", database_url=database_url, **environment)
        assert 0 == replayed.exit_code, replayed.output
        assert 3 == audited.exit_code, audited.output  # no view was built here
        assert 4 == list(rebuild(database_url, shipment_details))[-1].applied
        assert [] == checker.ledger_of(ledger)

        asyncio.run(bought_one(url))
        assert ["unknown", "sold"] == [entry["did"] for entry in checker.ledger_of(ledger)]


async def bought_one(url):
    """So that the ledger is known to count."""
    intent = label_requested()
    async with labels.CARRIER.opened(Settings(carrier_url=url)) as port:
        assert await port.find("a key", intent) is None
        await port.ask("a key", intent)


INSTALLATION = "i"
KEY = "i:carrier:shipment-1:label:1"
ANSWER = {"key": KEY, "shipment": "1", "label": "L", "tracking": "T"}
FOUND = {"call": "find", "did": "unknown", "key": KEY}
SOLD = {"call": "buy", "did": "sold", "key": KEY, "shipment": "1", "answer": ANSWER}
LOG = [
    LoggedEvent(1, "shipment-1", REQUESTED, {"attempt": 1}),
    LoggedEvent(2, "shipment-1", BOUGHT, {"attempt": 1, "label_id": "L", "tracking": "T"}),
]
OTHER = {**SOLD, "key": "i:carrier:shipment-1:label:2"}


def test_what_is_as_it_should_be_is_no_violation():
    repeated = {**SOLD, "did": "repeated"}

    assert [] == checker.violations([FOUND, SOLD, FOUND, repeated], INSTALLATION, LOG)


@pytest.mark.parametrize(
    ("law", "ledger", "log"),
    [
        ("E1", [FOUND, SOLD, FOUND, SOLD], LOG),
        ("E2", [FOUND, SOLD, {**FOUND, "key": OTHER["key"]}, OTHER], LOG),
        ("E3", [FOUND, SOLD, {**FOUND, "key": OTHER["key"]}, OTHER], LOG),
        ("E4", [FOUND, SOLD], LOG[:1]),
        ("E4", [FOUND, SOLD], [*LOG, LOG[1]]),
        ("E4", [FOUND], LOG),
        ("E4", [FOUND, {**SOLD, "answer": {**ANSWER, "label": "M"}}], LOG),
        (
            "E4",
            [FOUND, SOLD],
            [LOG[0], LoggedEvent(2, "shipment-1", REFUSED, {"attempt": 1, "reason": "no"})],
        ),
        ("E5", [SOLD], LOG),
        ("E5", [FOUND, SOLD, {**SOLD, "did": "repeated"}], LOG),
    ],
)
def test_a_violation_is_found(law, ledger, log):
    assert law in {each.law for each in checker.violations(ledger, INSTALLATION, log)}


INGESTED = "payments.psp_event_ingested.v1"


def decided(key, status, amount, payment="p"):
    return {
        "key": key,
        "did": "decided",
        "answer": {"status": status, "payment": payment, "amount": amount},
    }


def event(kind, **body):
    """One of a payment of order `o`."""
    return f"payments.{kind}.v1", {"payment_id": "p", "order_id": "o", **body}


def entry(name, amount, of, to):
    return [("o", name, of, -amount), ("o", name, to, amount)]


ISSUED = {"customer_id": "c", "credit_id": "p~c", "amount": 2}
PLANNED = {"o": Wanted(total=9, captured=7, refunded=3, credited=2, spent=2)}
PROVIDED = [
    decided("authorise:1", "authorised", 7),
    decided("capture:1", "captured", 7),
    decided("refund:1", "refunded", 3),
]
PAID = [
    event("payment_created", amount=7),
    event("payment_authorised", amount=7),
    event("payment_captured", amount=7),
    event("refund_succeeded", amount=3, to="original"),
    event("refund_succeeded", amount=2, to="store_credit"),
    ("payments.credit_issued.v1", ISSUED),
    ("payments.credit_held.v1", {**ISSUED, "order_id": "o"}),
    ("payments.credit_spent.v1", {**ISSUED, "order_id": "o"}),
]
SHOWN = [("o", 0, 7, 5)]
BOOKED = [
    *entry("capture:1", 7, "buyer", "provider"),
    *entry("refund:1", 3, "provider", "buyer"),
    *entry("refund:c", 2, "store_credit", "buyer"),
    *entry("credit-spent:h", 2, "buyer", "store_credit"),
]


def without(events, kind):
    """All events but the last of a kind: lost."""
    at = max(number for number, (name, _) in enumerate(events) if name == f"payments.{kind}.v1")
    return events[:at] + events[at + 1 :]


@pytest.mark.parametrize(
    ("laws", "ledger", "log", "shown", "booked"),
    [
        pytest.param(set(), PROVIDED, PAID, SHOWN, BOOKED, id="nothing"),
        pytest.param({"T1", "T2"}, [*PROVIDED, PROVIDED[1]], PAID, SHOWN, BOOKED, id="captured twice"),
        pytest.param(
            {"T1", "T2"},
            [*PROVIDED, decided("authorise:2", "authorised", 7)],
            PAID,
            SHOWN,
            BOOKED,
            id="held under another key",
        ),
        pytest.param(
            {"T1", "T2"},
            [*PROVIDED, decided("authorise:1", "authorised", 7, payment="lost")],
            PAID,
            SHOWN,
            BOOKED,
            id="held for a payment that is lost",
        ),
        pytest.param({"T1", "T2"}, [*PROVIDED, PROVIDED[2]], PAID, SHOWN, BOOKED, id="refunded twice"),
        pytest.param(
            {"T3"},
            [*PROVIDED, decided("refund:2", "refunded", 3)],
            [*PAID, PAID[3]],
            [("o", 0, 7, 8)],
            [*BOOKED, *entry("refund:2", 3, "provider", "buyer")],
            id="a double refund that all agree about",
        ),
        pytest.param(
            {"T2", "T3"},
            PROVIDED,
            without(PAID, "payment_captured"),
            SHOWN,
            BOOKED,
            id="a capture that is lost",
        ),
        pytest.param(
            {"T2", "T3"}, PROVIDED[:2], [*PAID[:3], *PAID[4:]], SHOWN, BOOKED, id="a refund that is lost"
        ),
        pytest.param({"T2"}, PROVIDED[:2], PAID, SHOWN, BOOKED, id="a refund that nobody made"),
        pytest.param({"T2"}, PROVIDED, PAID, [("o", 0, 8, 5)], BOOKED, id="a wrong amount in a view"),
        pytest.param({"T2"}, PROVIDED, PAID, SHOWN, BOOKED[2:], id="an entry is missing"),
        pytest.param(
            {"T2", "T4"},
            PROVIDED,
            PAID,
            SHOWN,
            [*BOOKED[:1], ("o", "capture:1", "provider", 8), *BOOKED[2:]],
            id="an entry that is not zero in all",
        ),
        pytest.param(
            {"T2", "T3", "T5"},
            PROVIDED,
            without(PAID, "credit_spent"),
            SHOWN,
            BOOKED,
            id="credit that is held still",
        ),
    ],
)
def test_three_ledgers_that_differ_are_found(laws, ledger, log, shown, booked):
    views = payment_checker.Views(paid=shown, postings=booked)

    assert laws == {each.law for each in payment_checker.violations(ledger, log, views, PLANNED)}


def test_a_balance_that_is_not_what_is_owed_is_found():
    views = payment_checker.Views(paid=SHOWN, postings=BOOKED, balances=[("c", 1)])

    assert ["T5"] == [each.law for each in payment_checker.violations(PROVIDED, PAID, views, PLANNED)]
