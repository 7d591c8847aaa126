"""A sender at work on a real log, with another side that does what a test says."""

import asyncio
import contextlib
import threading
from collections import defaultdict

from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from commands.gateways import sending
from commands.gateways.gateway import NoAnswer, Refused, Unaskable
from commands.gateways.labels import CARRIER
from commands.gateways.metrics import GatewayMetrics
from commands.gateways.parcels import Label
from event_store.consumers import driver
from event_store.consumers.health import Health
from runtime import database
from runtime.settings import Settings

NAME = CARRIER.sender


class Scripted:
    """The other side: remembers what it did by key. `says` has what happens to the next calls about an order."""

    def __init__(self):
        self.done = {}
        self.calls = []
        self.says = defaultdict(list)
        self.held = defaultdict(threading.Event)

    async def find(self, key, intent):
        return await self._said("find", key, intent, self.done.get(key))

    async def ask(self, key, intent):
        script = self.says[intent.order_id]
        if not (script and isinstance(script[0], Unaskable)):  # else it is done, whatever is said of it
            self.done.setdefault(key, Label(label=f"L-{intent.order_id}-{intent.attempt}", tracking="T"))
        return await self._said("ask", key, intent, self.done.get(key))

    def refuses(self, key, reason):
        self.done[key] = Refused(reason)

    def calls_about(self, order_id):
        return [name for name, key in self.calls if f"shipment-{order_id}:" in key]

    async def _said(self, name, key, intent, answer):
        self.calls.append((name, key))
        script = self.says[intent.order_id]
        said = script.pop(0) if script else None
        if said == "wait":
            await asyncio.to_thread(self.held[intent.order_id].wait, 120)
        elif said is not None:
            raise said
        return answer


def silent(times=1):
    return [NoAnswer("nobody said anything")] * times


class Running:
    """The sender, in a thread."""

    def __init__(self, url, gateway, settings):
        self.url = url
        self.registry = CollectorRegistry()
        self.health = Health()
        self.stop = threading.Event()
        consumers = [sending.consumer(gateway, settings, metrics=GatewayMetrics(self.registry))]
        self.thread = threading.Thread(
            target=driver.run,
            args=(consumers,),
            kwargs={
                "database_url": url,
                "stop": self.stop,
                "registry": self.registry,
                "health": self.health,
            },
            daemon=True,
        )

    def value(self, name, **labels):
        return self.registry.get_sample_value(name, labels) or 0.0


@contextlib.contextmanager
def sender(url, port, settings=None):
    """The sender of labels at work while the block runs, with this port for a carrier."""

    @contextlib.asynccontextmanager
    async def opened():
        yield port

    gateway = replace(CARRIER, opened=lambda _settings: opened())
    with sender_of(gateway, url, settings or Settings()) as work:
        yield work


@contextlib.contextmanager
def sender_of(gateway, url, settings):
    """The sender of a gateway at work while the block runs."""
    work = Running(url, gateway, settings)
    work.thread.start()
    try:
        yield work
    finally:
        work.stop.set()
        work.thread.join(60)
        assert not work.thread.is_alive(), "the sender did not stop"


def reached(url):
    """The sender's checkpoint; -1 before it has one."""
    with database.connect(url, role="counterfoil_reader", name="test") as conn:
        row = conn.execute("select position from consumers.checkpoint where consumer = %s", [NAME]).fetchone()
    return -1 if row is None else row[0]


def head(url):
    with database.connect(url, role="counterfoil_reader", name="test") as conn:
        return conn.execute("select position from log.head").fetchone()[0]
