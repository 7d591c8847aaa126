"""How processes are declared, and which of them share a worker."""

import pytest

from commands.decision import Decision
from commands.processes.process import Process, lease_groups
from domain.aggregate import Aggregate
from domain.inventory.stock_item import STOCK
from domain.ordering.events import OrderPlaced
from domain.ordering.order import ORDER
from event_store.consumers.starting import HEAD
from tests.commands.processes.packing import PACKING
from tests.commands.processes.running import SHOP

PARCEL = Aggregate("parcel", lambda _, __: None)


def process(name, *writes):
    return Process(name, writes=writes, start=HEAD)


def grouped(*processes):
    return [(group.lease, [process.name for process in group.processes]) for group in lease_groups(processes)]


def test_processes_that_write_the_same_streams_share_a_lease():
    assert [
        ("processes:order-payment-purchase-redemption-stock", ["fulfilment", "restock", "purchases"]),
        ("processes:cart", ["carts-left"]),
        ("processes:order_credit-store_credit", ["credit-expiry", "credit-holds"]),
        ("processes:account-external", ["account-closing"]),
    ] == grouped(*SHOP)


def test_processes_that_share_no_stream_have_leases_of_their_own():
    assert [
        ("processes:order-payment-purchase-redemption-stock", ["fulfilment", "restock", "purchases"]),
        ("processes:cart", ["carts-left"]),
        ("processes:order_credit-store_credit", ["credit-expiry", "credit-holds"]),
        ("processes:account-external", ["account-closing"]),
        ("processes:packing", ["packing"]),
    ] == grouped(*SHOP, PACKING)


def test_a_process_that_writes_what_two_others_do_joins_them():
    separate = (process("a", ORDER), process("b", PARCEL))

    joined = grouped(*separate, process("c", STOCK), process("both", ORDER, PARCEL))

    assert [("processes:stock", ["c"]), ("processes:order-parcel", ["b", "a", "both"])] == joined


def test_a_process_reacts_to_an_event_once():
    one = process("one", ORDER)
    one.when(OrderPlaced, reads=lambda _: ())(_nothing)

    with pytest.raises(AssertionError, match=r"reacts to ordering\.order_placed\.v1 already"):
        one.when(OrderPlaced, reads=lambda _: ())(_nothing)


def _nothing(*_: object) -> Decision:
    return Decision()
