"""An installation with accounts and keys, and what destroys and closes in it."""

import asyncio
import threading
from pathlib import Path
from typing import Any, Final

import pytest
from prometheus_client import CollectorRegistry

from commands.gateways import sending
from commands.gateways.metrics import GatewayMetrics
from commands.gateways.shredding import ERASURE
from commands.processes import runner
from commands.processes.closing import CLOSING
from commands.processes.metrics import ProcessMetrics
from commands.processes.process import Process
from counterfoil import bundling
from counterfoil.testing import consumers
from event_store.proofs import exporting, proving
from event_store.proofs.checking import BundleCheck
from event_store.proofs.tiles import Directory
from runtime import database
from runtime.settings import Settings
from tests.event_store.proofs.sealing import KEY, seal
from tests.identity.shop import PASSWORD, Shop

ADA: Final = {"name": "Ada Lovelace", "email": "ada@example.org", "country": "Italy"}
LOGIN: Final = {"email": "ada@example.org", "password": PASSWORD}


def send(settings: Settings) -> None:
    """Have the sender of erasures do all there is."""
    assert settings.database_url is not None
    metrics = GatewayMetrics(CollectorRegistry())
    consumers.work_off(
        settings.database_url.get_secret_value(), sending.consumer(ERASURE, settings, metrics=metrics)
    )


def cut_off(settings: Settings, owner: Any, name: str, *, after: bool) -> None:
    """Have a sender end in the middle: it came to a step, which was done or was not, and to nothing behind it."""
    assert settings.database_url is not None
    reached = threading.Event()
    original = getattr(owner, name)

    async def step(self: Any, *given: Any) -> Any:
        if after:
            await original(self, *given)
        reached.set()
        await asyncio.Event().wait()

    hosted = sending.consumer(ERASURE, settings, metrics=GatewayMetrics(CollectorRegistry()))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(owner, name, step)
        patched.setattr(sending, "CLOSING_S", 0.0)
        with consumers.hosting(settings.database_url.get_secret_value(), hosted) as working:
            while not reached.is_set():
                working.round()


def close(settings: Settings) -> None:
    """Have the process manager close accounts."""
    work_off(settings, CLOSING)


def work_off(settings: Settings, process: Process) -> None:
    """Have a process manager do all there is; the first time, from then on."""
    assert settings.database_url is not None
    for each in runner.consumers((process,), metrics=ProcessMetrics(CollectorRegistry())):
        consumers.work_off(settings.database_url.get_secret_value(), each)


def page_of_case(url: str, folder: Path, customer_id: str) -> str:
    """The page of the case of a customer, which is sealed, exported and checked."""
    store = Directory(folder)
    seal(url, store)
    with database.connect(url, role="counterfoil_reader", name="test") as connection:
        lines = exporting.of_customer(
            connection, proving.published(store), customer=customer_id, member=bundling.CUSTOMER
        )
        check = BundleCheck(lines, keys=[KEY.verifier])
        assert list(check.events())
    assert () == check.result().found.listed
    assert check.page is not None
    return check.page.text()


async def erased(settings: Settings) -> None:
    """Have an erasure that was requested done."""
    await asyncio.to_thread(send, settings)
    await asyncio.to_thread(close, settings)


async def registered(shop: Shop, account_id: str = "ada") -> dict[str, Any]:
    """An account and its customer; the tokens of a session."""
    owner = (await shop.session())["access_token"]
    account = {"account_id": account_id, "roles": ["customer"], **LOGIN}
    assert 201 == (await shop.post("/v1/accounts", account, owner)).status_code
    tokens = await shop.session(**LOGIN)
    made = await shop.post("/v1/customers", ADA, tokens["access_token"])
    assert 201 == made.status_code, made.text
    return tokens
