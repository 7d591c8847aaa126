"""`counterfoil demo`: a seeded shop of its own, sold out by known callers, shipped, rebuilt, verified, left open."""

import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from counterfoil import auditing, declared, progress, runfile, status, viewing
from counterfoil.acts.over_http import OverHttp
from counterfoil.runfile import Running
from counterfoil.servers.errors import ServerError
from counterfoil.simulators.faults import Chance, Faults
from counterfoil.simulators.journal import Ledger
from counterfoil.simulators.payment_provider import PaymentEntry, PaymentProvider, Server
from counterfoil.user_messages import UserError
from devservers import buying, mailbox, standalone
from devservers.buying import People
from devservers.mailbox import Mailbox
from devservers.standalone import UpFailed
from examples.online_retail import generating, importing
from examples.online_retail.errors import ImportFailed
from examples.online_retail.lagging import wait_until_caught_up
from examples.online_retail.shop import Command, Shop, Verdict
from projections.errors import ProjectionError
from runtime import telemetry
from runtime.http import api_version
from runtime.migrations import MigrationError
from runtime.settings import Settings

DIRECTORIES_MAX: Final = 20
"""Demos that may run side by side below one home."""

VIEW: Final = "order_details"
REFUSED_LINES: Final = 3
"""Lines of the generated file that can become nothing, on purpose."""

DELIVERED: Final = 1_000
"""Pieces of each product that is bought today."""

STEPS: Final = 8
"""Steps of the whole story; an interrupted one has fewer, and is not ok."""

_Expected = (ImportFailed, ServerError, UpFailed, MigrationError, ProjectionError, UserError)


class StoryStep(Struct, frozen=True):
    """One part of the story and whether it came out."""

    name: str
    ok: bool
    seconds: float


class Story(Struct):
    """The whole story."""

    directory: str
    steps: list[StoryStep] = []
    orders: int = 0
    events: int = 0

    @property
    def ok(self) -> bool:
        """Whether every step came out."""
        return len(self.steps) == STEPS and all(step.ok for step in self.steps)

    def as_json(self) -> dict[str, Any]:
        """The object scripts rely on."""
        steps = [{"name": step.name, "ok": step.ok, "seconds": round(step.seconds, 2)} for step in self.steps]
        return {
            "ok": self.ok,
            "orders": self.orders,
            "events": self.events,
            "directory": self.directory,
            "steps": steps,
        }


class FellShort(Exception):
    """A step ended, but not with what it promises."""


def run(settings: Settings, *, stay: bool, orders: int) -> Story:
    """Tell the story in an empty shop below home; with `stay`, keep it open until Ctrl-C.

    Of the `orders`, a program imports those of the past; customers and guests place `buying.ORDERS` today.

    A step that falls short is said, counted and ends the story; it is never an exception.
    """
    home = _empty_directory(settings.home)
    story = Story(directory=str(home))
    progress.say(f"the demo's shop lives in {home}")
    telemetry.configure_logging(settings.log_level, process="demo")
    with (
        standalone.stop_on_signals() as stop,
        mailbox.opened() as mails,
        _provider(home / "payments.ledger") as payment_url,
    ):
        own = _own(settings, home, mails, payment_url)
        try:
            with suppress(FellShort):  # said and noted where it happened
                _perform(own, story, mails=mails, imported=orders - buying.ORDERS, stop=stop, stay=stay)
        except standalone.Stopped:
            progress.say("stopped")
    return story


@contextmanager
def _provider(ledger: Path) -> Iterator[str]:
    """The address of a payment provider without faults while the block runs."""
    chance = Chance(Faults(), seed=0)
    with (
        Ledger(ledger, PaymentEntry) as book,
        Server(PaymentProvider(book, chance, token=None), port=0) as server,
    ):
        thread = threading.Thread(target=server.serve_forever, name="payment-provider", daemon=True)
        thread.start()
        try:
            yield server.url
        finally:
            server.shutdown()
            thread.join()


def _own(settings: Settings, home: Path, mails: Mailbox, payment_url: str) -> Settings:
    """The settings of a shop that has nothing in common with any other."""
    own: dict[str, Any] = {
        "home": home,
        "database_url": None,
        "keys_database_url": None,
        "master_key": None,
        "master_key_file": None,
        "redis_url": None,
        "kafka_bootstrap": None,
        "transport": "local",
        "contexts": declared.SHOP,
        "command_api_url": None,
        "query_api_url": None,
        "token": None,  # nosec B105 - none is handed on
        "identity": "accounts",
        "identity_secrets": None,
        "guest_tokens_per_address": 0,  # all guests come from this machine
        "mail_host": "127.0.0.1",
        "mail_port": mails.port,
        "mail_tls": "none",
        "mail_user": None,
        "mail_password": None,  # nosec B105 - none is handed on
        "mail_from": "no-reply@shop.example",
        "mail_links": "https://shop.example/account",
        "payment_provider": "contract",
        "payment_url": payment_url,
        "payment_token": None,  # nosec B105 - none is handed on
    }
    return settings.model_copy(update=own)


def _perform(
    settings: Settings, story: Story, *, mails: Mailbox, imported: int, stop: standalone.Stop, stay: bool
) -> None:
    started = time.monotonic()
    shop = standalone.shop(settings, distributed=False, stop=stop)
    with _step(story, "start"):
        running = shop.__enter__()
    try:
        stop.interrupts = True  # Ctrl-C in the middle of the story ends it there
        _story(settings, running, story, mails=mails, imported=imported)
        stop.interrupts = False
        progress.say(
            f"{story.orders:,} orders, {story.events:,} events, {time.monotonic() - started:.1f} s in all"
        )
        if stay and not stop.is_set():
            progress.say(_invitation(running, settings.home))
            stop.wait()
    finally:
        shop.__exit__(None, None, None)


def _story(settings: Settings, running: Running, story: Story, *, mails: Mailbox, imported: int) -> None:
    addresses = running.addresses
    assert addresses.database_url is not None
    assert addresses.command_api is not None
    assert addresses.query_api is not None
    contexts = declared.contexts(settings)
    with People(addresses.command_api, addresses.query_api) as people:
        with _step(story, "register an owner, an operator and a program that imports"):
            owner = buying.owner(settings)
            token, key = people.operator(owner), people.importer(owner)
        with Shop(addresses.command_api, addresses.query_api, token=key) as shop:
            _past(settings, shop, story, orders=imported)
            with _step(story, f"{buying.CUSTOMERS} customers sign up, the rest are guests: all buy"):
                _today(people, shop, mails, story)
    operator = OverHttp(addresses.command_api, addresses.query_api, operator="demo", token=token)
    with _step(story, "rebuild a view next to the live one"):
        viewing.rebuild(operator, VIEW, reason="the demo")
    with _step(story, "verify both builds and promote the new one"):
        builds = viewing.verify(addresses.database_url, VIEW, contexts=contexts)
        _require(bool(builds["ok"]), "the builds differ from the log")
        viewing.promote(operator, VIEW, reason="the demo")
    with _step(story, "verify log and views"):
        report = auditing.verify(addresses.database_url, contexts=contexts)
        _require(report.ok and not report.parked, "; ".join(report.lines()))
    story.events = status.read(addresses.database_url).log.position


def _past(settings: Settings, shop: Shop, story: Story, *, orders: int) -> None:
    """Orders of a file, sent by a program: it may say what they cost and when they were placed."""
    file = settings.home / "online-retail.csv"
    with _step(story, "generate"):
        generating.write_retail_file(file, orders=orders)
    with _step(story, "import what was sold before, and ship it"):
        outcome = importing.run(file, shop=shop, kept_in=settings.home / "imports")
        story.orders, story.events = outcome.figures["orders"], outcome.events
        _require(story.orders == orders, f"{story.orders} orders came out")
        _require(outcome.refused == REFUSED_LINES, f"{outcome.refused} lines were refused")
        _require(outcome.not_shipped == 0, f"{outcome.not_shipped} orders were not shipped")


def _today(people: People, shop: Shop, mails: Mailbox, story: Story) -> None:
    """Orders of those who buy: at list prices, and nobody else's business."""
    customers, guests = people.customers(mails), people.guests()
    skus = people.on_sale(guests[0])
    _require_all(
        shop.send(
            [Command(f"today:{sku}", "receive_stock", {"quantity": DELIVERED}, target=sku) for sku in skus]
        )
    )
    placed = people.buy(customers, guests, skus)
    paid = [(order_id, buyer) for order_id, buyer in placed.items() if buyer in customers]
    wait_until_caught_up(shop)
    people.wait_for("orders/{}", "status", "confirmed", paid)
    _require_all(
        shop.send([Command(f"today:{order_id}", "ship_order", {}, target=order_id) for order_id in placed])
    )
    wait_until_caught_up(shop)
    people.wait_for("orders/{}/payments", "status", "captured", paid)
    story.orders += len(placed)
    of_customer = next(order_id for order_id, buyer in placed.items() if buyer == customers[0])
    _require(people.may_read(of_customer, token=customers[0]), "a customer is not shown their own order")
    _require(not people.may_read(of_customer, token=guests[0]), "a guest is shown the order of a customer")


@contextmanager
def _step(story: Story, name: str) -> Iterator[None]:
    """Say how a step went; one that falls short ends the story."""
    progress.say(f"== {name}")
    started = time.monotonic()
    try:
        yield
    except (*_Expected, FellShort) as error:
        story.steps.append(StoryStep(name, ok=False, seconds=time.monotonic() - started))
        progress.say(f"failed: {error}")
        raise FellShort(name) from error
    story.steps.append(StoryStep(name, ok=True, seconds=time.monotonic() - started))


def _require_all(verdicts: list[Verdict]) -> None:
    refused = [verdict.reason for verdict in verdicts if not verdict.accepted]
    _require(not refused, f"{len(refused)} commands were refused: {refused[:1]}")


def _require(holds: bool, otherwise: str) -> None:  # noqa: FBT001 - an assertion with words
    if not holds:
        raise FellShort(otherwise)


def _empty_directory(home: Path) -> Path:
    """The demo's own directory, emptied: the first whose shop does not run."""
    for number in range(1, DIRECTORIES_MAX + 1):
        directory = home / ("demo" if number == 1 else f"demo-{number}")
        if not runfile.is_locked(directory):
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir(parents=True, exist_ok=True)
            return directory
    raise UpFailed(f"{DIRECTORIES_MAX} demos run below {home} already")


def _invitation(running: Running, home: Path) -> str:
    command_api, query_api = running.addresses.command_api, running.addresses.query_api
    commands, queries = f"{command_api}{api_version.PREFIX}", f"{query_api}{api_version.PREFIX}"
    program, password = Path(sys.executable).with_name("counterfoil"), home / buying.PASSWORD_FILE
    token = (
        f"COUNTERFOIL_HOME={home} {program} account token --email {buying.OWNER} --password-file {password}"
    )
    bearer = '-H "Authorization: Bearer $TOKEN"'
    order = (
        '{"order_id": "yours", "country": "Italy", "currency": "GBP",'
        ' "lines": [{"sku": "POST", "quantity": 1, "unit_price": "18.00"}]}'
    )
    return f"""
What happened, by callers who all logged in as what they are: a program imported a file of a seeded shop over HTTP;
ten customers signed up by a link in a mail, filled carts, checked out and paid at a simulated provider; guests ordered
at list prices; process managers reserved stock, had money held and confirmed every order; the program shipped them,
and what was held was captured; an operator had a view folded again from the log next to the live
one, which then took over; then every leaf of the log and every row of every view was computed again and compared.

Be the owner, for ten minutes:
  TOKEN=$({token})

Try:
  curl {bearer} {queries}/orders/500000
  curl {bearer} '{queries}/sales/daily?country=France&limit=3'
  curl {bearer} {commands}/orders -H 'Idempotency-Key: my-first' -H 'Content-Type: application/json' -d '{order}'
  curl -X POST {commands}/guest-tokens

Command API {command_api} (to try it: {command_api}/docs)
Query API   {query_api} (to try it: {query_api}/docs)
Ctrl-C stops everything."""
