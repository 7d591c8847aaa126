"""`counterfoil parked` on consumers of each kind at work: the same requests and answers, the same event of a skip."""

import contextlib
from collections.abc import Iterator

import msgspec
import pytest

from commands.decision import Decision, DecisionView
from commands.processes.fulfilment import FULFILMENT
from counterfoil.contexts import CONTEXTS
from domain.operations.events import EventSkipped
from domain.ordering.events import OrderPlaced
from event_store.consumers import parking, tailing
from event_store.consumers.consumer import LogConsumer
from event_store.consumers.starting import ORIGIN
from event_store.log import reading
from event_store.log.codec import decode
from event_store.transport.local_transport import LocalTransport
from runtime import database
from tests.commands.processes.running import append, eventually, placed, received, register, relaying, running
from tests.consuming import hosting
from tests.counterfoil import commanding
from tests.counterfoil.commanding import last_json
from tests.projections.test_running import projections

PLACED = "ordering.order_placed.v3"
KEY = "order-bad"
STANDS_AT = 2
ORDER_DETAILS = next(view for view in CONTEXTS.views if view.name == "order_details")


class Defect:
    """What is wrong with a consumer until it is deployed without."""

    def __init__(self) -> None:
        self.repaired = False

    def check(self, event: OrderPlaced) -> None:
        if event.order_id == "bad" and not self.repaired:
            raise ZeroDivisionError("a defect")


class ViewAtWork:
    """The view of orders."""

    name = ORDER_DETAILS.name
    shape = ORDER_DETAILS.shape

    def __init__(self, url, monkeypatch, defect):
        self._url = url
        fold = ORDER_DETAILS.folds[OrderPlaced]

        def defective(row, event, part):
            defect.check(event)
            return fold.apply(row, event, part)

        monkeypatch.setitem(ORDER_DETAILS._folds, OrderPlaced, msgspec.structs.replace(fold, apply=defective))

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        transport = LocalTransport(self._url)
        with relaying(self._url, transport), projections(self._url, views=[ORDER_DETAILS]):
            yield

    def handled(self, conn, order_id):
        """Whether the order was handled, once."""
        found = conn.execute("select count(*) from views.order_details where order_id = %s", [order_id])
        return found.fetchone() == (1,)


class ProcessAtWork:
    """The process manager that reserves stock for orders."""

    name = FULFILMENT.name
    shape = None

    def __init__(self, url, monkeypatch, defect):
        self._url = url
        reaction = FULFILMENT.reactions[PLACED]

        def defective(event, view: DecisionView, now) -> Decision:
            defect.check(event)
            return reaction.decide(event, view, now)

        broken = msgspec.structs.replace(reaction, decide=defective)
        monkeypatch.setitem(FULFILMENT.reactions, PLACED, broken)
        register(url)

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        with running(self._url):
            yield

    def handled(self, conn, order_id):
        """Whether the order was handled, once."""
        return ["ordering.order_placed.v3", "ordering.order_confirmed.v1"] == [
            event.type for event in reading.read_stream(conn, f"order-{order_id}")
        ]


class DeclaredAtWork:
    """A consumer that a context declares, and that notes orders."""

    name = "orders-noted"
    shape = None

    def __init__(self, url, _monkeypatch, defect):
        self._url = url
        self._consumer = LogConsumer(self.name, start=ORIGIN)

        @self._consumer.begin
        def tables(conn):
            conn.execute("drop table if exists consumer_tables.noted")
            conn.execute("create table consumer_tables.noted (order_id text)")
            conn.execute("grant select on consumer_tables.noted to counterfoil_reader")

        @self._consumer.on(OrderPlaced)
        def note(conn, event: OrderPlaced):
            conn.execute("insert into consumer_tables.noted values (%s)", [event.order_id])
            defect.check(event)

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        with hosting(self._url, [tailing.consumer(self._consumer)]):
            yield

    def handled(self, conn, order_id):
        """Whether the order was handled, once."""
        found = conn.execute("select count(*) from consumer_tables.noted where order_id = %s", [order_id])
        return found.fetchone() == (1,)


@pytest.fixture
def defect():
    return Defect()


@pytest.fixture(params=[ViewAtWork, ProcessAtWork, DeclaredAtWork])
def consumer(request, database_url, monkeypatch, defect):
    found = request.param(database_url, monkeypatch, defect)
    append(database_url, [received("A", 10), placed("bad", [("A", 1)]), placed("good", [("A", 1)])])
    return found


@pytest.fixture
def conn(database_url):
    with database.connect(database_url, role="counterfoil_reader", name="test") as conn:
        yield conn


@pytest.fixture
def parked(tmp_path, database_url):
    """`counterfoil parked …`."""
    return lambda *arguments: commanding.run(tmp_path, "parked", *arguments, database_url=database_url)


def test_a_key_is_listed_and_shown_stands_while_the_defect_does_and_goes_on_when_retried(
    consumer, conn, parked, defect
):
    with consumer.at_work():
        eventually(lambda: bool(parking.listed(conn)) and consumer.handled(conn, "good"))
        (listed,) = last_json(parked("list", "--json"))
        shown = last_json(parked("show", consumer.name, KEY))
        failed = parked("retry", consumer.name, KEY)
        again = last_json(parked("show", consumer.name, KEY))
        defect.repaired = True
        retried = parked("retry", consumer.name, KEY)
        eventually(lambda: consumer.handled(conn, "bad"))
        nothing = parked("retry", consumer.name, KEY)

    assert listed == shown
    assert (consumer.name, consumer.shape or 0, KEY, STANDS_AT, 0) == (
        *(shown["consumer"], shown["shape"], shown["partition_key"]),
        *(shown["position"], shown["queued"]),
    )
    assert "ZeroDivisionError: a defect" == shown["reason"]
    assert (1, True) == (failed.exit_code, "ZeroDivisionError" in failed.stderr)
    assert 2 * shown["tries"] == again["tries"]
    assert (0, 1) == (retried.exit_code, nothing.exit_code)
    assert f"{consumer.name} has nothing parked for '{KEY}'" in nothing.stderr


def test_a_skip_is_one_event_by_the_operator_and_the_key_goes_on_behind_it(
    consumer, conn, parked, monkeypatch
):
    monkeypatch.setenv("LOGNAME", "jo")
    login = conn.info.user
    with consumer.at_work():
        eventually(lambda: bool(parking.listed(conn)))
        wrong = parked("skip", consumer.name, KEY, STANDS_AT + 1, "--reason", "entered twice")
        before = reading.read_stream(conn, f"skips-{consumer.name}")
        skipped = parked("skip", consumer.name, KEY, STANDS_AT, "--reason", "entered twice")
        listed = last_json(parked("list", "--json"))

    assert (1, True) == (wrong.exit_code, "nothing was skipped" in wrong.stderr)
    assert [] == before
    assert (0, []) == (skipped.exit_code, listed)
    (recorded,) = reading.read_stream(conn, f"skips-{consumer.name}")
    skip = decode(recorded.type, recorded.payload)
    assert isinstance(skip, EventSkipped)
    assert (consumer.name, consumer.shape, KEY, STANDS_AT, f"operator:{login}@jo", "entered twice") == (
        *(skip.consumer, skip.shape, skip.partition_key),
        *(skip.position, skip.actor, skip.reason),
    )
    assert not consumer.handled(conn, "bad")
