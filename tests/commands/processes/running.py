"""Process managers at work on a real database: what is recorded before, the workers, and what the log says after."""

import asyncio
import contextlib
import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime

import psycopg
from prometheus_client import CollectorRegistry
from psycopg import sql

from commands.processes import runner
from commands.processes.metrics import ProcessMetrics
from commands.processes.process import Process
from counterfoil.contexts import CONTEXTS
from domain.event import Event, partition_key_of, tags_of
from domain.ids import OrderId, Sku
from domain.inventory import stock_item
from domain.money import Currency, UnitPrice
from domain.ordering import order
from domain.ordering.events import PaymentTerms
from domain.ordering.lines import LineRequest
from domain.ordering.order import Buyer
from event_store.consumers import checkpoints
from event_store.log import codec
from event_store.log.appending.writer import Writer
from event_store.log.envelope import (
    Accepted,
    AppendRequest,
    Expectation,
    Metadata,
    NewEvent,
    Verdict,
    encode_metadata,
    new_nonce,
)
from event_store.transport import relay
from event_store.transport.transport import Transport
from runtime import database
from runtime.settings import Settings
from tests.consuming import Hosting, hosting

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
GBP = Currency("GBP")
WAIT_S = 180.0
PAUSE_FIRST_S = 0.02
PAUSE_MAX_S = 0.1
"""Between two looks at what is waited for, each of which may connect: who waits for long looks more seldom."""
SHOP = CONTEXTS.processes_of(Settings())
"""The process managers of a shop without gateways."""

HOLD_UP = """
create function public.hold_up() returns trigger language plpgsql as $$
begin
    perform pg_advisory_xact_lock_shared(7);
    return null;
end
$$
"""

Append = tuple[str, int, Sequence[Event]]
"""A stream, the version it has before, and what is appended to it."""


def placed(
    order_id: str, demand: Iterable[tuple[str, int]], *, stocked: bool = True, method_ref: str | None = None
) -> Append:
    """An order of lines (code, quantity)."""
    lines = [
        LineRequest(sku=Sku(sku), quantity=quantity, unit_price=UnitPrice("1.00"), stocked=stocked)
        for sku, quantity in demand
    ]
    events = order.place(
        None,
        order_id=OrderId(order_id),
        customer_id=None,
        placed_at=NOW,
        country="United Kingdom",
        currency=GBP,
        lines=lines,
        buyer=Buyer(payment=None if method_ref is None else PaymentTerms(method_ref=method_ref)),
    )
    return f"order-{order_id}", 0, events


def received(sku: str, quantity: int, *, version: int = 0) -> Append:
    """A delivery."""
    events = stock_item.receive(None, sku=Sku(sku), quantity=quantity, reference="", now=NOW)
    return f"stock-{sku}", version, events


def append(url: str, appends: Sequence[Append]) -> None:
    """Append as the command API would, and see that all is accepted."""
    verdicts = append_requests(url, [request_for(*each) for each in appends])
    assert all(isinstance(verdict, Accepted) for verdict in verdicts)


def append_requests(url: str, requests: Sequence[AppendRequest]) -> list[Verdict]:
    """The log's verdicts."""
    return asyncio.run(_append(url, requests))


def request_for(stream: str, version: int, events: Sequence[Event]) -> AppendRequest:
    """What a caller asks for; the same append has the same key."""
    key = hashlib.sha256(f"{stream} {version}".encode()).digest()
    return AppendRequest(
        key[:16], key, tuple(_new_event(stream, event) for event in events), (Expectation(stream, version),)
    )


def _new_event(stream: str, event: Event) -> NewEvent:
    partition_key, tags = partition_key_of(event), tags_of(event)
    metadata = Metadata(
        actor="tester",
        command="test",
        correlation_id=stream,
        nonce=new_nonce(),
        tags=tags,
        partition_key=partition_key,
    )
    return NewEvent(stream, *codec.encode(event), encode_metadata(metadata), partition_key, tags)


async def _append(url: str, requests: Sequence[AppendRequest]) -> list[Verdict]:
    async with Writer.open(url, name="test") as writer:
        verdicts: list[Verdict] = []
        for start in range(0, len(requests), 2_000):
            waiting = [writer.submit(request) for request in requests[start : start + 2_000]]
            verdicts.extend(await asyncio.gather(*waiting))
        return verdicts


def register(url: str, processes: Sequence[Process] = SHOP) -> None:
    """Note where processes begin, as the command API does when it starts."""
    with database.connect(url, role="counterfoil_writer", name="test") as conn:
        for process in processes:
            checkpoints.register(conn, process.name, start=process.start, kind="process")


@contextlib.contextmanager
def relaying(url: str, transport: Transport) -> Iterator[None]:
    """A relay at work while the block runs."""
    carrier = relay.consumer(transport, registry=CollectorRegistry())
    with hosting(url, [carrier]):
        yield


@contextlib.contextmanager
def running(url: str, *, processes: Sequence[Process] = SHOP) -> Iterator[Hosting]:
    """Process managers at work while the block runs."""
    registry = CollectorRegistry()
    hosted = runner.consumers(processes, metrics=ProcessMetrics(registry))
    with hosting(url, hosted, registry=registry) as work:
        yield work


@contextlib.contextmanager
def held_up(url: str, *, behind: int) -> Iterator[None]:
    """Nothing is appended behind a position while the block runs: who works is met in the middle of its work."""
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute(HOLD_UP)
        owner.execute(
            sql.SQL(
                "create trigger hold_up after insert on log.outcome for each row when (new.last_position > {})"
                " execute function public.hold_up()"
            ).format(sql.Literal(behind))
        )
        owner.execute("select pg_advisory_lock(7)")
        yield


def eventually(holds: Callable[[], bool], *, wait_s: float = WAIT_S) -> None:
    """Wait until something holds."""
    deadline_s = time.monotonic() + wait_s
    pause_s = PAUSE_FIRST_S
    while not holds():
        assert time.monotonic() < deadline_s, "waited too long"
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.5, PAUSE_MAX_S)


def counted(url: str) -> dict[str, int]:
    """How many events of each type the log holds."""
    with database.connect(url, role="counterfoil_reader", name="test") as conn:
        return dict(conn.execute("select type, count(*) from log.event group by type").fetchall())


def outcomes(url: str) -> int:
    """How many outcomes the log holds."""
    with database.connect(url, role="counterfoil_reader", name="test") as conn:
        row = conn.execute("select count(*) from log.outcome").fetchone()
    assert row is not None
    return int(row[0])


def stock_of(url: str, sku: str) -> stock_item.StockItem | None:
    """The stock of a code as its stream tells it, seeing at each event that nothing is oversold."""
    item: stock_item.StockItem | None = None
    with database.connect(url, role="counterfoil_reader", name="test") as conn:
        rows = conn.execute(
            "select type, payload::text from log.event where stream = %s order by version", [f"stock-{sku}"]
        ).fetchall()
    for type_name, payload in rows:
        item = stock_item.evolve(item, codec.decode(str(type_name), str(payload).encode()))
        assert 0 <= item.reserved <= item.on_hand
    return item
