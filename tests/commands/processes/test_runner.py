"""Process managers on a real log."""

from datetime import UTC, datetime
from typing import Final

import psycopg
from msgspec.structs import replace

from commands.decision import Decision, DecisionView
from commands.processes import runner
from commands.processes.process import Process
from counterfoil import status
from domain.event import Event
from domain.ids import CustomerId, OrderId, Sku
from domain.inventory import stock_item
from domain.inventory.stock_item import STOCK
from domain.operations.events import EventSkipped
from domain.ordering.events import OrderPlaced, OrderShipped, ShippedSku
from event_store.consumers import backlog, parking, skips
from event_store.consumers.starting import HEAD
from event_store.log import reading
from event_store.log.codec import decode
from event_store.log.envelope import Accepted, AppendRequest, Expectation, NewEvent, decode_metadata
from event_store.transport import generations
from runtime import database
from tests.commands.processes.packing import PACKING
from tests.commands.processes.running import (
    NOW,
    SHOP,
    append,
    append_requests,
    counted,
    eventually,
    outcomes,
    placed,
    received,
    register,
    request_for,
    running,
    stock_of,
)
from tests.consuming import Hosting
from tests.examples import event_skipped, shipped
from tests.parked import record_skip, request_retry, request_skip
from tests.payment_examples import credit_held, credit_issued, payment_authorised
from tests.purchase_examples import backorder_policy_set, location_set, stock_located
from tests.sizes import DEMANDED, HOTTEST

OTHERS: Final = 60
OTHERS_MAX: Final = 600
"""Appends of another writer, which meet decisions about the same stock item: so many, or more until one conflicts."""
FURTHER: Final = 200
CONFLICTS: Final = "counterfoil_process_conflicts_total"


def test_where_more_units_are_demanded_than_there_are_exactly_those_are_promised(database_url):
    orders, units = DEMANDED.chosen, DEMANDED.chosen // 10
    append(database_url, [received("A", units)])
    append(database_url, [placed(f"o{number}", [("A", 1)]) for number in range(orders)])

    with running(database_url):
        # Each rejection has one more, of the store credit that was held for the order.
        eventually(lambda: outcomes(database_url) == 1 + 2 * orders + (orders - units))

    found = counted(database_url)
    item = stock_of(database_url, "A")
    assert found["ordering.order_confirmed.v1"] == units
    assert found["ordering.order_rejected.v2"] == orders - units
    assert item is not None
    assert (item.on_hand, item.reserved) == (units, units)


def test_an_order_of_1500_lines_is_confirmed_in_one_append(database_url):
    codes = [f"code{number}" for number in range(1_500)]
    append(database_url, [received(sku, 2) for sku in codes])
    append(database_url, [placed("big", [(sku, 2) for sku in codes])])

    with running(database_url):
        eventually(lambda: counted(database_url).get("ordering.order_confirmed.v1") == 1)

    with database.connect(database_url, role="counterfoil_reader", name="test") as conn:
        confirmed = reading.read_stream(conn, "order-big")[1]
        last_reserved = reading.read_stream(conn, "stock-code1499")[1]
        causes = [decode_metadata(event.metadata) for event in (confirmed, last_reserved)]
        placed_by = decode_metadata(reading.read_stream(conn, "order-big")[0].metadata).actor
    assert counted(database_url)["inventory.stock_reserved.v1"] == 1_500
    assert abs(confirmed.position - last_reserved.position) <= 1_500
    assert {("process:fulfilment", "fulfilment.reserve", "1.1501", "order-big")} == {
        (cause.actor, cause.command, cause.causation, cause.correlation_id) for cause in causes
    }
    assert {placed_by} == {cause.on_behalf_of for cause in causes}


def test_an_order_without_stocked_lines_is_just_confirmed(database_url):
    append(database_url, [placed("postage", [("POST", 1)], stocked=False)])

    with running(database_url):
        eventually(lambda: outcomes(database_url) == 2)

    assert {"ordering.order_placed.v3": 1, "ordering.order_confirmed.v1": 1} == counted(database_url)


def test_store_credit_of_orders_that_are_rejected_is_released_for_the_customers_that_only_their_streams_name(
    database_url,
):
    for number in range(3):
        customer_id, order_id = CustomerId(f"c{number}"), OrderId(f"o{number}")
        stream, version, (order,) = placed(order_id, [("A", 1)])
        credit = (credit_issued(expires_at=None), credit_held(order_id=order_id))
        held = [replace(each, customer_id=customer_id) for each in credit]
        append(database_url, [(f"store_credit-{customer_id}", 0, held)])
        append(database_url, [(stream, version, [replace(order, customer_id=customer_id)])])

    with running(database_url):
        eventually(lambda: counted(database_url).get("payments.credit_released.v1") == 3)

    assert 3 == counted(database_url)["payments.order_credit_changed.v1"]
    assert 3 == counted(database_url)["ordering.order_rejected.v2"]


def test_an_order_is_split_over_locations_waits_for_the_rest_and_is_held_until_it_came(database_url):
    there = {"sku": "A", "on_hand": 1}
    stock = [
        *received("A", 1)[2],
        *received("A", 1)[2],
        stock_located(**there),
        backorder_policy_set(sku="A"),
    ]
    append(database_url, [("locations-all", 0, [location_set()]), ("stock-A", 0, stock)])
    append(database_url, [placed("o1", [("A", 3)])])

    with running(database_url):
        eventually(lambda: counted(database_url).get("ordering.order_held.v1") == 1)
        arrived = stock_item.receive(
            stock_of(database_url, "A"), sku=Sku("A"), quantity=1, reference="", now=NOW
        )
        append(database_url, [("stock-A", 7, arrived)])
        eventually(lambda: counted(database_url).get("ordering.hold_lifted.v1") == 1)

    item = stock_of(database_url, "A")
    assert (3, 3, ()) == (item.on_hand, item.reserved, item.backorders)
    assert {"o1": {"north": 1}} == item.reserved_elsewhere


def test_an_order_with_a_payment_is_confirmed_once_it_is_held_and_captured_once_it_is_shipped(database_url):
    append(database_url, [received("A", 2), placed("o1", [("A", 2)], method_ref="pm_visa")])
    of_it = {
        "payment_id": "o1",
        "order_id": "o1",
        "amount": 200,
        "expires_at": datetime(2100, 1, 1, tzinfo=UTC),
    }

    with running(database_url):
        eventually(lambda: counted(database_url).get("payments.authorisation_requested.v1") == 1)
        assert "ordering.order_confirmed.v1" not in counted(database_url)
        append(database_url, [("payment-o1", 2, [payment_authorised(**of_it)])])
        eventually(lambda: counted(database_url).get("ordering.order_confirmed.v1") == 1)
        append(
            database_url, [("order-o1", 2, [shipped(order_id="o1", skus=(ShippedSku(sku="A", quantity=2),))])]
        )
        eventually(lambda: counted(database_url).get("payments.capture_requested.v1") == 1)

    assert {
        "inventory.stock_received.v1": 1,
        "ordering.order_placed.v3": 1,
        "inventory.stock_reserved.v1": 1,
        "ordering.purchase_begun.v1": 1,
        "payments.payment_created.v1": 1,
        "payments.authorisation_requested.v1": 1,
        "payments.payment_authorised.v1": 1,
        "ordering.order_confirmed.v1": 1,
        "ordering.order_shipped.v1": 1,
        "inventory.stock_shipped.v1": 1,
        "payments.capture_requested.v1": 1,
    } == counted(database_url)


def test_another_writer_on_the_hottest_code_costs_conflicts_but_changes_no_sum(database_url):
    append(database_url, [received("A", 100)])
    orders, others = HOTTEST.chosen, 0
    append(database_url, [placed(f"o{number}", [("A", 1)]) for number in range(orders)])

    with running(database_url) as work:
        eventually(lambda: outcomes(database_url) > 1 + orders)
        while others < OTHERS or (others < OTHERS_MAX and not work.count(CONFLICTS)):
            if others >= OTHERS and others % 10 == 0:
                # All were decided before another writer met a decision: further orders keep some in flight.
                more = range(orders, orders + FURTHER)
                append(database_url, [placed(f"o{number}", [("A", 1)]) for number in more])
                orders += FURTHER
            _deliver_somehow(database_url, "A", 10)
            others += 1
        appends = 1 + 2 * orders + others
        eventually(
            lambda: outcomes(database_url) - counted(database_url)["ordering.order_rejected.v2"] == appends
        )
        conflicts = work.count(CONFLICTS)

    found = counted(database_url)
    item = stock_of(database_url, "A")
    assert item is not None
    assert item.on_hand == 100 + 10 * others
    assert item.reserved == found["ordering.order_confirmed.v1"]
    assert found["ordering.order_confirmed.v1"] + found["ordering.order_rejected.v2"] == orders
    assert conflicts > 0


def test_a_trigger_that_cannot_be_decided_parks_its_key_alone_and_goes_on_when_retried(database_url):
    append(database_url, [received("A", 10)])
    append(database_url, [_shipped("ghost", [("A", 3)]), placed("o1", [("A", 1)])])

    with running(database_url), _connected(database_url) as conn:
        eventually(lambda: bool(parking.listed(conn)))
        eventually(lambda: counted(database_url).get("ordering.order_confirmed.v1") == 1)
        (key,) = parking.listed(conn)
        _wait_for(conn, request_retry(conn, "fulfilment", "order-ghost"))
        (again,) = parking.listed(conn)
        append(database_url, [placed("o2", [("A", 2)])])
        eventually(lambda: counted(database_url).get("ordering.order_confirmed.v1") == 2)
        outcome = _wait_for(conn, request_retry(conn, "fulfilment", "order-ghost"))

    assert (key.position, key.tries, key.queued) == (2, 1, 0)
    assert key.reason == "NotReserved: Of 'A', 3 were asked for and 0 are reserved."
    assert again.tries == 2
    assert outcome == "done"
    assert counted(database_url)["inventory.stock_shipped.v1"] == 1
    with _connected(database_url) as conn:
        assert [] == parking.listed(conn)


def test_later_triggers_of_a_parked_key_wait_and_a_skip_lets_them_go(database_url):
    append(database_url, [received("A", 10), placed("other", [("A", 2)])])
    _append_unreadable(database_url, "order-bad")

    with running(database_url) as work, _connected(database_url) as conn:
        eventually(lambda: bool(parking.listed(conn)))
        append(database_url, [_shipped("bad", [("A", 2)], version=1)])
        eventually(lambda: parking.listed(conn)[0].queued == 1)
        waited = counted(database_url)
        eventually(lambda: parked_keys(work, "fulfilment") == 1)
        (key,) = parking.listed(conn)
        skip = event_skipped(
            consumer="fulfilment",
            shape=None,
            partition_key="order-bad",
            position=key.position,
            actor="op",
            reason="made by hand",
        )
        record_skip(database_url, skip, by_process=True)
        outcome = _wait_for(conn, request_skip(conn, "fulfilment", "order-bad", position=key.position))
        skipped = skips.read(conn, "fulfilment", shape=None)
        skip = decode("operations.event_skipped.v1", reading.read_stream(conn, "skips-fulfilment")[0].payload)

    assert "inventory.stock_shipped.v1" not in waited
    assert outcome == "done"
    assert counted(database_url)["inventory.stock_shipped.v1"] == 1
    assert isinstance(skip, EventSkipped)
    assert ("fulfilment", None, "order-bad", "op", "made by hand") == (
        skip.consumer,
        skip.shape,
        skip.partition_key,
        skip.actor,
        skip.reason,
    )
    assert skipped == {skip.position}


def test_a_retry_that_fails_at_the_next_trigger_says_so_and_the_key_stands_there(database_url):
    append(database_url, [received("A", 10), _shipped("ghost", [("A", 3)])])
    append(database_url, [_shipped("ghost", [("A", 5)], version=1), placed("o1", [("A", 3)])])

    with running(database_url), _connected(database_url) as conn:
        eventually(lambda: [1] == [key.queued for key in parking.listed(conn)])
        eventually(lambda: counted(database_url).get("ordering.order_confirmed.v1") == 1)
        outcome = _wait_for(conn, request_retry(conn, "fulfilment", "order-ghost"))
        (key,) = parking.listed(conn)

    assert outcome == "failed again: NotReserved: Of 'A', 5 were asked for and 0 are reserved."
    assert (key.position, key.tries, key.queued, key.last_position) == (3, 1, 0, 3)
    assert counted(database_url)["inventory.stock_shipped.v1"] == 1


def test_parked_keys_survive_a_restart(database_url):
    append(database_url, [received("A", 10), _shipped("ghost", [("A", 3)])])
    with running(database_url), _connected(database_url) as conn:
        eventually(lambda: bool(parking.listed(conn)))

    with running(database_url), _connected(database_url) as conn:
        append(database_url, [_shipped("ghost", [("A", 1)], version=1), placed("o1", [("A", 3)])])
        eventually(lambda: parking.listed(conn)[0].queued == 1)
        eventually(lambda: counted(database_url).get("ordering.order_confirmed.v1") == 1)

    assert "inventory.stock_shipped.v1" not in counted(database_url)


def test_a_new_epoch_in_the_middle_loses_and_repeats_nothing(database_url):
    append(database_url, [received("A", 10_000)])
    append(database_url, [placed(f"o{number}", [("A", 1)]) for number in range(400)])

    with running(database_url):
        eventually(lambda: counted(database_url).get("ordering.order_confirmed.v1", 0) >= 50)
        with database.connect(database_url, role=None, name="test") as conn:
            generations.fence(conn, reason="test", empty_documents=lambda: None)
        append(database_url, [placed(f"p{number}", [("A", 1)]) for number in range(400)])
        eventually(lambda: outcomes(database_url) == 1 + 2 * 800)

    item = stock_of(database_url, "A")
    assert item is not None
    assert item.reserved == 800


def test_positions_reach_the_head_when_processes_are_through_whether_or_not_anything_carries_the_log(
    database_url,
):
    append(database_url, [received("A", 10), *(placed(f"o{number}", [("A", 1)]) for number in range(20))])

    with running(database_url):
        eventually(lambda: outcomes(database_url) == 21 + 20 + 10)  # each of ten rejections has one
        eventually(lambda: all(each.lag_events == 0 for each in status.read(database_url).process_managers))
        found = status.read(database_url).process_managers

    assert [
        ("account-closing", 51),
        ("carts-left", 51),
        ("credit-expiry", 51),
        ("credit-holds", 51),
        ("fulfilment", 51),
        ("purchases", 51),
        ("restock", 51),
    ] == [(process.name, process.position) for process in found]


def test_an_append_that_is_answered_when_its_round_is_over_is_noted_though_no_trigger_follows(
    database_url, monkeypatch
):
    monkeypatch.setattr(runner, "ROUND_S", 0.0002)
    append(database_url, [received("A", 9)])
    register(database_url)
    append(database_url, [placed("o", [("A", 1)])])

    with running(database_url):
        eventually(lambda: set(positions(database_url).values()) == {4})


def positions(url):
    """Where each process stands."""
    with database.connect(url, role="counterfoil_reader", name="test") as conn:
        return dict(
            conn.execute(
                "select consumer, position from consumers.checkpoint join consumers.registration using (consumer)"
                " where kind = 'process'"
            ).fetchall()
        )


def test_what_was_there_before_the_processes_is_not_their_concern(database_url):
    with psycopg.connect(database_url, autocommit=True) as owner:
        append(database_url, [received("A", 10), placed("before", [("A", 1)])])
        owner.execute(
            "with r as (update consumers.registration set registered_position = 2 returning consumer)"
            " update consumers.checkpoint c set position = 2, leaf = (select leaf from log.event where position = 2)"
            " from r where c.consumer = r.consumer"
        )
        append(database_url, [placed("after", [("A", 1)])])

    with running(database_url), _connected(database_url) as conn:
        eventually(lambda: counted(database_url).get("ordering.order_confirmed.v1") == 1)
        before, after = (reading.read_stream(conn, f"order-{name}") for name in ("before", "after"))

    assert [1, 2] == [len(before), len(after)]


def parked_keys(work: Hosting, process: str) -> float:
    """What the metric says."""
    return work.count("counterfoil_consumer_parked_keys", consumer=process, build="")


def _connected(url: str) -> psycopg.Connection[tuple[object, ...]]:
    return database.connect(url, role="counterfoil_writer", name="test")


def _wait_for(conn: psycopg.Connection[tuple[object, ...]], request: int) -> str | None:
    eventually(lambda: parking.outcome_of(conn, request) is not None)
    return parking.outcome_of(conn, request)


def _shipped(
    order_id: str, codes: list[tuple[str, int]], *, version: int = 0
) -> tuple[str, int, list[Event]]:
    """A shipment that no reservation stands behind."""
    shipped = OrderShipped(
        order_id=OrderId(order_id),
        skus=tuple(ShippedSku(sku=Sku(sku), quantity=quantity) for sku, quantity in codes),
        shipped_at=NOW,
    )
    return f"order-{order_id}", version, [shipped]


def _append_unreadable(url: str, stream: str) -> None:
    """An order placed by somebody who did not keep to the shape."""
    event = NewEvent(stream, "ordering.order_placed.v3", b'{"order_id":7}', b"{}")
    request = AppendRequest(bytes(16), bytes(32), (event,), (Expectation(stream, 0),))
    assert isinstance(append_requests(url, [request])[0], Accepted)


def _deliver_somehow(url: str, sku: str, quantity: int) -> None:
    """A delivery by a caller who tries until nobody was faster."""
    while True:
        with database.connect(url, role="counterfoil_reader", name="test") as conn:
            row = conn.execute(
                "select max(version) from log.event where stream = %s", [f"stock-{sku}"]
            ).fetchone()
        assert row is not None
        stream, version, events = received(sku, quantity, version=int(row[0]))
        if isinstance(append_requests(url, [request_for(stream, version, events)])[0], Accepted):
            return


def test_a_process_with_steps_keeps_its_state_in_a_stream_of_its_own(database_url):
    processes = (*SHOP, PACKING)
    register(database_url, processes)
    append(database_url, [received("A", 10), placed("o1", [("A", 1)])])

    with running(database_url, processes=processes), _connected(database_url) as conn:
        eventually(lambda: len(reading.read_stream(conn, "packing-o1")) == 2)
        steps = reading.read_stream(conn, "packing-o1")

    assert ["test_packing.awaited.v1", "test_packing.packed.v1"] == [event.type for event in steps]
    assert {"order-o1"} == {event.key for event in steps}
    assert ["process:packing"] * 2 == [decode_metadata(event.metadata).actor for event in steps]


def test_processes_that_share_no_stream_work_while_others_only_stand_by(database_url):
    processes = (*SHOP, PACKING)
    register(database_url, processes)
    append(database_url, [received("A", 10), placed("o1", [("A", 1)])])
    with _connected(database_url) as conn:
        conn.execute(
            "insert into runtime.lease (name, owner)"
            " values ('processes:order-payment-purchase-redemption-stock', 'elsewhere')"
        )

        def shown():
            conn.execute(
                "update runtime.lease set counter = counter + 1 where owner = 'elsewhere'"
            )  # it works
            return sorted(work.health.lines()), counted(database_url).get("test_packing.awaited.v1")

        lines = [
            *("processes:account-external active", "processes:cart active"),
            "processes:order-payment-purchase-redemption-stock standby",
            *("processes:order_credit-store_credit active", "processes:packing active"),
        ]
        with running(database_url, processes=processes) as work:
            eventually(lambda: shown() == (lines, 1))


def test_a_process_of_which_too_many_triggers_are_parked_stops_alone_until_they_are_retried(
    database_url, monkeypatch
):
    monkeypatch.setattr(parking, "WAITING_MAX", 3)
    monkeypatch.setattr(backlog, "EVENTS_PER_PAGE", 1)
    monkeypatch.setattr(runner, "READ_BELOW", 1)  # none is read while one waits to be parked
    broken = _Broken()
    processes = (*SHOP, broken.process)
    register(database_url, processes)
    append(database_url, [received("A", 10), *(placed(f"o{number}", [("A", 1)]) for number in range(6))])

    with running(database_url, processes=processes) as work, _connected(database_url) as conn:
        eventually(lambda: work.count("counterfoil_process_full", process="broken") == 1)
        eventually(lambda: counted(database_url).get("ordering.order_confirmed.v1") == 6)
        kept = parking.listed(conn)
        broken.repaired = True
        for key in kept:
            _wait_for(conn, request_retry(conn, "broken", key.partition_key))
        eventually(lambda: outcomes(database_url) == 7 + 6 + 6)
        eventually(lambda: work.count("counterfoil_process_full", process="broken") == 0)

    assert {"broken"} == {key.consumer for key in kept}
    assert 3 == len(kept)
    assert {"ZeroDivisionError: a defect"} == {key.reason for key in kept}


class _Broken:
    """A process that fails at every order until it is repaired; it belongs to the group of those that write stock."""

    def __init__(self) -> None:
        self.repaired = False
        self.process = Process("broken", writes=(STOCK,), start=HEAD)

        @self.process.when(OrderPlaced, reads=lambda _: ())
        def fail(_event: OrderPlaced, _view: DecisionView, _now: datetime) -> Decision:
            if not self.repaired:
                raise ZeroDivisionError("a defect")
            return Decision()
