"""`counterfoil demo`: a seeded shop of its own, sold out, shipped, rebuilt, verified, and left open."""

import shutil
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
from counterfoil.user_messages import UserError
from devservers import standalone
from devservers.standalone import UpFailed
from examples.online_retail import generating, importing
from examples.online_retail.errors import ImportFailed
from examples.online_retail.shop import Shop
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

STEPS: Final = 6
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


def run(settings: Settings, *, stay: bool) -> Story:
    """Tell the story in an empty shop below home; with `stay`, keep it open until Ctrl-C.

    A step that falls short is said, counted and ends the story; it is never an exception.
    """
    home = _empty_directory(settings.home)
    story = Story(directory=str(home))
    progress.say(f"the demo's shop lives in {home}")
    own = settings.model_copy(
        update={
            "home": home,
            "database_url": None,
            "redis_url": None,
            "kafka_bootstrap": None,
            "transport": "local",
            "contexts": declared.SHOP,
        }
    )
    telemetry.configure_logging(settings.log_level, process="demo")
    with standalone.stop_on_signals() as stop:
        try:
            with suppress(FellShort):  # said and noted where it happened
                _perform(own, story, stop=stop, stay=stay)
        except standalone.Stopped:
            progress.say("stopped")
    return story


def _perform(settings: Settings, story: Story, *, stop: standalone.Stop, stay: bool) -> None:
    started = time.monotonic()
    shop = standalone.shop(settings, distributed=False, stop=stop)
    with _step(story, "start"):
        running = shop.__enter__()
    try:
        stop.interrupts = True  # Ctrl-C in the middle of the story ends it there
        _story(settings, running, story)
        stop.interrupts = False
        progress.say(
            f"{story.orders:,} orders, {story.events:,} events, {time.monotonic() - started:.1f} s in all"
        )
        if stay and not stop.is_set():
            progress.say(_invitation(running))
            stop.wait()
    finally:
        shop.__exit__(None, None, None)


def _story(settings: Settings, running: Running, story: Story) -> None:
    addresses = running.addresses
    assert addresses.database_url is not None
    assert addresses.command_api is not None
    assert addresses.query_api is not None
    contexts = declared.contexts(settings)
    file = settings.home / "online-retail.csv"
    with _step(story, "generate"):
        generating.write_retail_file(file)
    with _step(story, "sell and ship"), Shop(addresses.command_api, addresses.query_api) as shop:
        outcome = importing.run(file, shop=shop, kept_in=settings.home / "imports")
        story.orders, story.events = outcome.figures["orders"], outcome.events
        _require(
            outcome.figures["orders"] == generating.ORDERS, f"{outcome.figures['orders']} orders came out"
        )
        _require(outcome.refused == REFUSED_LINES, f"{outcome.refused} lines were refused")
        _require(outcome.not_shipped == 0, f"{outcome.not_shipped} orders were not shipped")
    operator = OverHttp(addresses.command_api, addresses.query_api, operator="demo")
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


@contextmanager
def _step(story: Story, name: str) -> Iterator[None]:
    """Say how a step went; one that falls short ends the story."""
    progress.say(f"== {name}")
    started = time.monotonic()
    try:
        yield
    except (*_Expected, FellShort) as error:
        story.steps.append(StoryStep(name, ok=False, seconds=time.monotonic() - started))
        progress.say(f"fell short: {error}")
        raise FellShort(name) from error
    story.steps.append(StoryStep(name, ok=True, seconds=time.monotonic() - started))


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


def _invitation(running: Running) -> str:
    command_api, query_api = running.addresses.command_api, running.addresses.query_api
    commands, queries = f"{command_api}{api_version.PREFIX}", f"{query_api}{api_version.PREFIX}"
    order = (
        '{"order_id": "yours", "country": "Italy", "currency": "GBP",'
        ' "lines": [{"sku": "POST", "quantity": 1, "unit_price": "18.00"}]}'
    )
    return f"""
What happened: a file of a seeded shop became HTTP commands; process managers reserved stock and confirmed every order;
the importer shipped them; a view was folded again from the log next to the live one and took over; then every leaf of
the log and every row of every view was computed again and compared.

Try:
  curl {queries}/orders/500000
  curl '{queries}/sales/daily?country=France&limit=3'
  curl -X POST {commands}/orders -H 'Idempotency-Key: my-first' -H 'Content-Type: application/json' -d '{order}'

Command API {command_api} (to try it: {command_api}/docs)
Query API   {query_api} (to try it: {query_api}/docs)
Ctrl-C stops everything."""
