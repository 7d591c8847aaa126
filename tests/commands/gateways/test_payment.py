"""The payment provider's client, what a sender asks it for, and the simulated provider."""

import asyncio
import contextlib
import http.server
import threading
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr

from commands.gateways.gateway import NoAnswer, Unaskable
from commands.gateways.payment import charging
from commands.gateways.payment.charging import PROVIDER, Charging
from commands.gateways.payment.http_provider import HttpProvider
from commands.gateways.payment.webhooks import StandardWebhooks
from commands.payment_outcomes import ActionNeeded, AmountHeld, MoneyMoved, NotMoved, Pending
from counterfoil.simulators import webhooks
from counterfoil.simulators.faults import Chance, Faults
from counterfoil.simulators.journal import Ledger
from counterfoil.simulators.payment_provider import PaymentEntry, PaymentOperation, PaymentProvider, Server
from counterfoil.simulators.webhooks import WEBHOOK_FAULTS, WebhookTarget
from domain.money import Minor
from runtime.settings import Settings
from tests.commands.processes.running import eventually
from tests.payment_examples import (
    TOTAL,
    authorisation_requested,
    authorisation_uncertain,
    capture_requested,
    customer_action_required,
    refund_requested,
    void_requested,
)

pytestmark = pytest.mark.anyio

KEY = "0b54b3c4:payment:payment-pay-1"
HOLD = f"{KEY}:authorise:1"


@contextlib.contextmanager
def simulated(ledger, faults="", *, token=None):
    with (
        Ledger(ledger, PaymentEntry) as book,
        Server(PaymentProvider(book, Chance(Faults.read(faults), seed=7), token=token), port=0) as server,
    ):
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@contextlib.asynccontextmanager
async def charging_at(server, *, token=None):
    async with HttpProvider.open(server.url, token=token) as provider:
        yield Charging(provider)


def done(ledger):
    with Ledger(ledger, PaymentEntry) as book:
        return [(entry.call, entry.did) for entry in book.entries()]


@pytest.fixture
def ledger(tmp_path):
    return tmp_path / "ledger"


def paid_by(method):
    return authorisation_requested(method_ref=method)


async def test_money_is_held_taken_and_given_back_once_for_each_key_also_after_a_restart(ledger):
    with simulated(ledger, token="secret") as server:
        async with charging_at(server, token="secret") as port:
            assert await port.find(HOLD, paid_by("pm_visa")) is None
            held = await port.ask(HOLD, paid_by("pm_visa"))
            assert isinstance(held, AmountHeld)
            capture = capture_requested(auth_ref=held.reference, amount=Minor(765))
            taken = await port.ask(f"{KEY}:capture:1", capture)
            assert taken == await port.ask(f"{KEY}:capture:1", capture)
    with simulated(ledger) as server:
        async with charging_at(server) as port:
            assert held == await port.find(HOLD, paid_by("pm_visa"))
            assert taken == await port.find(f"{KEY}:capture:1", capture)
            void = void_requested(auth_ref=held.reference, amount=Minor(500))
            assert isinstance(await port.ask(f"{KEY}:void:1", void), MoneyMoved)
            refund = refund_requested(auth_ref=held.reference, amount=Minor(765))
            assert isinstance(await port.ask(f"{KEY}:refund:1", refund), MoneyMoved)
            assert NotMoved("more_than_captured") == await port.ask(f"{KEY}:refund:2", refund)
            assert NotMoved("more_than_held") == await port.ask(f"{KEY}:capture:2", capture)


@pytest.mark.parametrize(
    ("method", "outcome"),
    [
        ("pm_declined", NotMoved("do_not_honour", retryable=False)),
        ("pm_soft", NotMoved("insufficient_funds", retryable=True)),
        ("pm_3ds", ActionNeeded("3d-secure")),
        ("pm_pending", Pending()),
    ],
)
async def test_an_authorisation_comes_to_what_the_method_does(ledger, method, outcome):
    with simulated(ledger) as server:
        async with charging_at(server) as port:
            assert outcome == await port.ask(HOLD, paid_by(method)) == await port.find(HOLD, paid_by(method))


@pytest.mark.parametrize("faults", ["lose=1", "late=1:5", "error=1", "garble=1", "wrong=1"])
async def test_an_authorisation_without_an_answer_is_uncertain_and_found_by_its_key_later(
    ledger, faults, monkeypatch
):
    intent, uncertain = paid_by("pm_visa"), authorisation_uncertain()
    with monkeypatch.context() as impatient, simulated(ledger, faults) as server:
        impatient.setattr("commands.gateways.outside.ANSWER_TIMEOUT_S", 0.3)
        async with charging_at(server) as port:
            assert Pending() == await port.ask(HOLD, intent)
            with pytest.raises(NoAnswer):
                await port.find(HOLD, intent)
            with pytest.raises(NoAnswer):
                await port.ask(f"{KEY}:capture:1", capture_requested())
    with simulated(ledger) as server:
        async with charging_at(server) as port:
            settle = f"{KEY}:settle:1"
            found = await port.find(settle, uncertain) or await port.ask(settle, uncertain)
            assert isinstance(found, AmountHeld)
    held = [did for call, did in done(ledger) if (call, did) == ("perform", "decided")]
    assert 2 >= len(held), "it was held under another key"  # the hold, and the capture of nothing


async def test_an_authorisation_that_the_provider_has_not_decided_is_asked_about_until_it_has(ledger):
    with simulated(ledger) as server:
        async with charging_at(server) as port:
            await port.ask(HOLD, paid_by("pm_pending"))
            with pytest.raises(NoAnswer) as again:
                await port.find(f"{KEY}:settle:1", authorisation_uncertain())
            assert charging.ASK_AGAIN_S == again.value.wait_s
            assert isinstance(await port.find(f"{KEY}:settle:1", authorisation_uncertain()), AmountHeld)


async def test_a_buyer_who_confirms_is_found_out_without_a_webhook(ledger):
    action = customer_action_required(required_at=datetime.now(UTC))
    with simulated(ledger) as server:
        async with charging_at(server) as port:
            await port.ask(HOLD, paid_by("pm_3ds"))
            with pytest.raises(NoAnswer):
                await port.find(f"{KEY}:action:1", action)
            assert isinstance(await port.find(f"{KEY}:action:1", action), AmountHeld)


async def test_a_buyer_who_never_confirms_has_the_authorisation_cancelled_after_an_hour(ledger):
    late = customer_action_required(required_at=datetime.now(UTC) - timedelta(seconds=charging.ACTION_S))
    with simulated(ledger) as server:
        async with charging_at(server) as port:
            await port.ask(HOLD, paid_by("pm_3ds_never"))
            assert await port.find(f"{KEY}:action:1", late) is None
            cancelled = await port.ask(f"{KEY}:action:1", late)

            assert NotMoved("cancelled", retryable=True) == cancelled
            assert cancelled == await port.find(HOLD, paid_by("pm_3ds_never"))


async def test_a_hold_that_is_over_is_not_captured(ledger):
    with simulated(ledger) as server:
        async with charging_at(server) as port:
            held = await port.ask(HOLD, paid_by("pm_brief"))
            await asyncio.sleep(max(0.0, (held.expires_at - datetime.now(UTC)).total_seconds()))

            capture = capture_requested(auth_ref=held.reference)
            assert NotMoved("authorisation_expired") == await port.ask(f"{KEY}:capture:1", capture)


async def test_store_credit_is_no_business_of_the_provider(ledger):
    with simulated(ledger) as server:
        async with charging_at(server) as port:
            await port.find(f"{KEY}:refund:1", refund_requested(to="store_credit"))

    assert [] == done(ledger)


async def test_a_key_that_was_used_for_something_else_says_nothing(ledger):
    with simulated(ledger) as server:
        async with charging_at(server) as port:
            await port.ask(HOLD, paid_by("pm_visa"))
            with pytest.raises(NoAnswer):
                await port.find(HOLD, authorisation_requested(amount=Minor(TOTAL - 1)))


async def test_a_request_that_the_contract_does_not_know_is_parked(ledger):
    with simulated(ledger) as server:
        async with charging_at(server) as port:
            with pytest.raises(Unaskable):
                await port.ask(f"{KEY}:capture:1", capture_requested(currency=1))


def test_the_provider_is_there_where_the_setting_says_so():
    assert not PROVIDER.is_configured(Settings())
    assert PROVIDER.is_configured(Settings(payment_url="http://127.0.0.1:1", payment_token=SecretStr("t")))
    assert ["authorise", "settle", "action", "capture", "void", "refund"] == [
        e.step for e in PROVIDER.effects
    ]


SECRET = b"a secret of thirty-two characters"


class Shop(http.server.ThreadingHTTPServer):
    """Takes webhooks in as the product does, after a number of refusals."""

    daemon_threads = True

    def __init__(self, *, refusing=0):
        super().__init__(("127.0.0.1", 0), _Taking)
        self.refusing, self.taken = refusing, []

    def take(self, headers, body):
        if self.refusing:
            self.refusing -= 1
            return 503
        given = {name.lower().encode(): value.encode() for name, value in headers.items()}
        self.taken.append(asyncio.run(StandardWebhooks([SECRET]).read(given, body, now=datetime.now(UTC))))
        return 204


class _Taking(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.send_response(self.server.take(self.headers, body))
        self.end_headers()

    def log_message(self, *_):
        """The test says it all."""


@contextlib.contextmanager
def announcing(ledger, shop, faults="", *, chance=None):
    with Ledger(ledger, PaymentEntry) as book:
        provider = PaymentProvider(book, Chance(Faults(), seed=7), token=None)
        chance = chance or Chance(Faults.read(faults, names=WEBHOOK_FAULTS), seed=7)
        url = f"http://127.0.0.1:{shop.server_port}/v1/payment-webhooks"
        sending = provider.announce(WebhookTarget(url=url, secret=SECRET, chance=chance))
        try:
            yield provider
        finally:
            sending.close()


@contextlib.contextmanager
def shop_taking(**settings):
    with Shop(**settings) as shop:
        thread = threading.Thread(target=shop.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield shop
        finally:
            shop.shutdown()
            thread.join()


def decide(provider, number):
    asked = PaymentOperation(
        key=f"{KEY}:authorise:{number}",
        step="authorise",
        payment="pay-1",
        currency="GBP",
        amount=1265,
        method="pm",
    )
    provider.perform(asked, None)


def said(shop):
    return [webhook.operation.key.rpartition(":")[2] for webhook in shop.taken]


@pytest.mark.parametrize(
    ("faults", "expected"),
    [
        ("", ["1", "2", "3"]),
        ("twice=1", ["1", "1", "2", "2", "3", "3"]),
        ("late=1:0.2", ["1", "2", "3"]),
        ("lose=1", []),
    ],
)
def test_the_simulated_provider_sends_signed_webhooks_by_itself(ledger, faults, expected):
    with shop_taking(refusing=1) as shop, announcing(ledger, shop, faults) as provider:
        for number in (1, 2, 3):
            decide(provider, number)
        eventually(lambda: len(shop.taken) == len(expected) and ("webhook", "delivered") in done(ledger))

    assert expected == sorted(said(shop))
    assert {"operation.decided"} >= {webhook.type for webhook in shop.taken}


def test_the_simulated_provider_says_what_banks_do_also_after_a_restart(ledger):
    with shop_taking(refusing=1_000) as shop:
        with announcing(ledger, shop, "wrong=1") as provider:
            for step, reference in (("authorise", ""), ("capture", "A-000001")):
                asked = {"payment": "pay-1", "currency": "GBP", "amount": 1265, "method": "pm_dispute_lost"}
                provider.perform(
                    PaymentOperation(key=f"{KEY}:{step}:1", step=step, reference=reference, **asked), None
                )
        shop.refusing = 0
        with announcing(ledger, shop, "wrong=1"):
            eventually(lambda: done(ledger).count(("webhook", "delivered")) == 4)

    disputes = [each for each in shop.taken if each.dispute is not None]
    assert ["chargeback.opened", "chargeback.lost"] == [each.type for each in disputes]
    assert [1265, 1265] == [each.dispute.amount for each in disputes]


def test_a_webhook_is_overtaken_by_the_next_one(ledger, monkeypatch):
    monkeypatch.setattr(webhooks, "REORDER_S", 60.0)
    chance = Chance(Faults(), seed=7)
    monkeypatch.setattr(chance, "fault", iter(("reorder", None)).__next__)
    with shop_taking() as shop, announcing(ledger, shop, chance=chance) as provider:
        decide(provider, 1)
        decide(provider, 2)
        eventually(lambda: len(shop.taken) == 2)

    assert ["2", "1"] == said(shop)


def test_what_was_not_taken_in_is_sent_again_by_the_next_process(ledger):
    with shop_taking(refusing=1_000) as shop:
        with announcing(ledger, shop) as provider:
            decide(provider, 1)
            eventually(lambda: shop.refusing < 1_000)
        shop.refusing = 0
        with announcing(ledger, shop, "wrong=1"):
            eventually(lambda: ("webhook", "delivered") in done(ledger))
        with announcing(ledger, shop):
            pass

    assert [("1", 1266)] == [
        (number, each.operation.amount) for number, each in zip(said(shop), shop.taken, strict=True)
    ]
