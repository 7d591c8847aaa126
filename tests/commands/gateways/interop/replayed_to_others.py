"""`make interop`: what is asked of Stripe is asked of `stripe-mock`, which checks it by Stripe's own description.

Not part of `make test`: the first run compiles the program, a minute of processor time. It comes by the hashes in
`go.sum`. It keeps nothing, so answers are examples: they have to be of the shapes that the adapter reads.
"""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import msgspec
import pytest

from commands.gateways.payment.charging import Charging
from commands.gateways.payment.stripe_provider import PaymentIntent, Refund, StripeList, StripeProvider
from devservers import child
from domain.money import Minor
from runtime.settings import Settings
from tests.commands.gateways.stripe_stub import stubbed
from tests.payment_examples import (
    authorisation_requested,
    capture_requested,
    refund_requested,
    void_requested,
)

pytestmark = pytest.mark.anyio

FOLDER = Path(__file__).parent
GO_S_MAX = 300
STARTED_WITHIN_S = 60.0
KEY = "i:payment:payment-pay-1"


@pytest.fixture(scope="module")
def mock(tmp_path_factory):
    """The address of stripe-mock, built and started."""
    program, cache = tmp_path_factory.mktemp("go") / "stripe-mock", Settings.load().cache / "go"
    here = {"GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly", "CGO_ENABLED": "0", "GOWORK": "off"}
    caches = {"GOMODCACHE": str(cache / "modules"), "GOCACHE": str(cache / "build")}
    subprocess.run(
        [
            Path(sys.executable).parent / "go",
            *("build", "-trimpath", "-o", program, "github.com/stripe/stripe-mock"),
        ],
        cwd=FOLDER,
        env={**os.environ, **here, **caches},
        check=True,
        timeout=GO_S_MAX,
    )
    port = child.free_port()
    process = subprocess.Popen([program, "-http-addr", f"127.0.0.1:{port}"], stdout=subprocess.DEVNULL)
    try:
        give_up = time.monotonic() + STARTED_WITHIN_S
        while not _listens(port):
            assert process.poll() is None, "it ended by itself"
            assert time.monotonic() < give_up, "it does not listen"
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def _listens(port):
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


async def recorded():
    """Everything that is asked of Stripe: each step, first found and then done."""
    with stubbed() as stripe:
        async with StripeProvider.open(stripe.url, token="sk_test") as provider:
            port = Charging(provider)
            asked = authorisation_requested(method_ref="pm_card_visa")
            await port.find(f"{KEY}:authorise:1", asked)
            held = await port.ask(f"{KEY}:authorise:1", asked)
            for step, intent in (
                ("capture", capture_requested(auth_ref=held.reference, amount=Minor(765))),
                ("refund", refund_requested(auth_ref=held.reference, amount=Minor(1))),
                ("void", void_requested(auth_ref=held.reference, amount=Minor(500))),
            ):
                await port.find(f"{KEY}:{step}:1", intent)
                await port.ask(f"{KEY}:{step}:1", intent)
        return stripe.asked


async def test_stripe_mock_accepts_what_the_adapter_asks_and_answers_in_shapes_that_it_reads(mock):
    asked = await recorded()

    async with httpx.AsyncClient(
        base_url=mock, headers={"Authorization": "Bearer sk_test_123"}, trust_env=False, timeout=60
    ) as client:
        for method, path, form, key in asked:
            named = {"Idempotency-Key": key} if key else {}
            if method == "POST":
                named["Content-Type"] = "application/x-www-form-urlencoded"  # also of an empty body
            members = {"params": form} if method == "GET" else {"data": form}
            answer = await client.request(method, path, headers=named, **members)
            assert 200 == answer.status_code, (method, path, form, answer.text)
            read(answer)

    assert {"POST", "GET"} == {method for method, _, _, _ in asked}
    assert 9 <= len(asked)


def read(answer):
    kind = answer.json()["object"]
    if kind in {"list", "search_result"}:
        msgspec.json.decode(answer.content, type=StripeList)
    else:
        msgspec.json.decode(answer.content, type={"payment_intent": PaymentIntent, "refund": Refund}[kind])
