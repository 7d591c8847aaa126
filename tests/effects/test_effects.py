"""One label for each shipment, whatever the carrier, the senders and the log go through."""

import asyncio

import pytest

from commands.gateways.labels import CARRIER
from projections.rebuild import rebuild
from projections.shipping.views import shipment_details
from runtime.settings import Settings
from tests.commands.processes.running import append
from tests.counterfoil.commanding import run
from tests.effects import checker, payment_checker
from tests.effects.campaign import Campaign, carrier, seed_of
from tests.effects.checker import BOUGHT, REFUSED, REQUESTED, LoggedEvent
from tests.examples import label_bought, label_requested
from tests.sizes import EFFECTS_KILLS, EFFECTS_ORDERS


@pytest.mark.faults
@pytest.mark.slow
def test_one_label_per_shipment_through_faults_kills_and_restores(tmp_path, database_url, postgres):
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

    faults = {entry.get("fault") for entry in checker.ledger_of(campaign.carrier.ledger)}
    assert {"lose", "garble", "error"} <= faults, "the carrier did what it was asked too often"


def test_replaying_verifying_and_rebuilding_ask_nobody_for_anything(tmp_path, database_url):
    intents = [(f"shipment-{number}", 0, [label_requested(order_id=str(number))]) for number in range(3)]
    append(database_url, [*intents, ("shipment-0", 1, [label_bought(order_id="0")])])
    with carrier(tmp_path / "ledger") as sold_by:
        environment = {"COUNTERFOIL_CARRIER_URL": sold_by.url}
        replayed = run(tmp_path, "replay", "shipment-0", "--json", database_url=database_url, **environment)
        audited = run(tmp_path, "audit", "verify", "--json", database_url=database_url, **environment)
        assert 0 == replayed.exit_code, replayed.output
        assert 3 == audited.exit_code, audited.output  # no view was built here
        assert 4 == list(rebuild(database_url, shipment_details))[-1].applied
        assert [] == checker.ledger_of(sold_by.ledger)

        asyncio.run(bought_one(sold_by.url))
        assert ["unknown", "sold"] == [entry["did"] for entry in checker.ledger_of(sold_by.ledger)]


async def bought_one(url):
    """So that the ledger is known to count."""
    intent = label_requested()
    async with CARRIER.opened(Settings(carrier_url=url)) as port:
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


CAPTURED = {
    "key": "k:capture:1",
    "did": "decided",
    "answer": {"status": "captured", "payment": "p", "amount": 5},
}
PAID = [
    (payment_checker.CREATED, {"payment_id": "p", "amount": 5}),
    (payment_checker.CAPTURED, {"payment_id": "p", "amount": 5}),
]
BOOKED = [("p", "buyer", -5), ("p", "provider", 5)]


@pytest.mark.parametrize(
    ("laws", "ledger", "log", "postings"),
    [
        (set(), [CAPTURED], PAID, BOOKED),
        ({"T1", "T2"}, [CAPTURED, CAPTURED], PAID, BOOKED),
        ({"T2", "T3"}, [CAPTURED], PAID[:1], []),
        ({"T2"}, [], PAID, BOOKED),
        ({"T2"}, [CAPTURED], PAID, []),
        ({"T3"}, [], PAID[:1], []),
    ],
)
def test_three_ledgers_that_differ_are_found(laws, ledger, log, postings):
    assert laws == {each.law for each in payment_checker.violations(ledger, log, postings)}
