"""The shop's process managers and one with steps under the scheduler: what callers do, and what no log may say.

The one with steps is triggered by every order placed, besides fulfilment.
"""

from collections import Counter
from collections.abc import Iterator

from commands.processes.fulfilment import FULFILMENT
from commands.processes.restock import RESTOCK
from counterfoil.testing import processes
from counterfoil.testing.processes import Worker, World
from domain.ids import CreditNoteId, OrderId, Sku
from domain.inventory import stock_item
from domain.inventory.stock_item import STOCK
from domain.money import Currency, UnitPrice
from domain.ordering import credit_note, order
from domain.ordering.credit_note import CREDIT_NOTE
from domain.ordering.lines import LineRequest
from domain.ordering.order import ORDER
from event_store.log.envelope import AppendRequest, decode_metadata
from tests.commands.processes import checking
from tests.commands.processes.packing import PACKING

SKUS = tuple(Sku(name) for name in ("A", "B", "C"))
SERVICE = Sku("POST")
BUYERS = 64
UNITS = 10
BUYERS_AT_ONCE = 4
PROCESSES = (FULFILMENT, RESTOCK, PACKING)


class Shop:
    """The callers of the command API, who always succeed."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.chance = world.chance
        self.orders: list[OrderId] = []
        self.notes = 0
        for _ in range(self.chance.randint(0, 5)):
            self.receive()

    def call(self) -> None:
        """Somebody does something in the shop."""
        CALLS[int(self.chance.random() * len(CALLS))](self)

    def place(self) -> None:
        order_id = OrderId(f"o{len(self.orders) + 1}")
        self.orders.append(order_id)
        decided = order.place(
            None,
            order_id=order_id,
            customer_id=None,
            placed_at=self.world.clock.now,
            country="United Kingdom",
            currency=Currency("GBP"),
            lines=self._lines(),
        )
        self.world.append(ORDER, order_id, decided)

    def cancel(self) -> None:
        if self.orders:
            order_id = self.chance.choice(self.orders[-4:])
            state = self.world.state(ORDER, order_id)
            decided = order.cancel(state, order_id=order_id, reason="customer", now=self.world.clock.now)
            self.world.append(ORDER, order_id, decided)

    def ship(self) -> None:
        if self.orders:
            order_id = self.chance.choice(self.orders)
            state = self.world.state(ORDER, order_id)
            self.world.append(ORDER, order_id, order.ship(state, order_id=order_id, now=self.world.clock.now))

    def credit(self) -> None:
        self.notes += 1
        note_id = CreditNoteId(f"c{self.notes}")
        decided = credit_note.issue(
            None,
            credit_note_id=note_id,
            against=None,
            customer_id=None,
            issued_at=self.world.clock.now,
            country="United Kingdom",
            currency=Currency("GBP"),
            lines=self._lines(),
        )
        self.world.append(CREDIT_NOTE, note_id, decided)

    def receive(self) -> None:
        sku = self.chance.choice(SKUS)
        quantity = self.chance.randint(1, 8)
        decided = stock_item.receive(None, sku=sku, quantity=quantity, reference="", now=self.world.clock.now)
        self.world.append(STOCK, sku, decided)

    def adjust(self) -> None:
        """Half the time everything that is available is lost: a wrong belief about it shows at once."""
        sku = self.chance.choice(SKUS)
        state = self.world.state(STOCK, sku)
        available = 0 if state is None else state.available
        delta = -available if self.chance.random() < 0.5 else self.chance.randint(-3, 3)
        decided = stock_item.adjust(
            state, sku=sku, delta=delta, reason="count", note="", now=self.world.clock.now
        )
        self.world.append(STOCK, sku, decided)

    def _lines(self) -> list[LineRequest]:
        codes = [self.chance.choice((*SKUS, SKUS[0], SERVICE)) for _ in range(self.chance.randint(1, 4))]
        return [
            LineRequest(
                sku=sku,
                quantity=self.chance.randint(1, 3),
                unit_price=UnitPrice("1.00"),
                stocked=sku != SERVICE,
            )
            for sku in codes
        ]


# As often as its share of the table: drawing from weights would take longer than most of these do.
CALLS = (
    *(Shop.place,) * 8,
    *(Shop.cancel,) * 3,
    *(Shop.ship,) * 3,
    *(Shop.credit,) * 2,
    *(Shop.receive,) * 3,
    *(Shop.adjust,) * 3,
)


class Buyers:
    """Everybody wants one of the last units, some of them in the same moment."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.placed = 0
        received = stock_item.receive(None, sku=SKUS[0], quantity=UNITS, reference="", now=world.clock.now)
        world.append(STOCK, SKUS[0], received)

    def call(self) -> None:
        """Some of those who have not ordered yet do."""
        for _ in range(min(BUYERS_AT_ONCE, BUYERS - self.placed)):
            self.placed += 1
            order_id = OrderId(f"o{self.placed}")
            decided = order.place(
                None,
                order_id=order_id,
                customer_id=None,
                placed_at=self.world.clock.now,
                country="United Kingdom",
                currency=Currency("GBP"),
                lines=[LineRequest(sku=SKUS[0], quantity=1, unit_price=UnitPrice("1.00"), stocked=True)],
            )
            self.world.append(ORDER, order_id, decided)


def last_units_sold_otherwise(world: World) -> Iterator[str]:
    """As many buyers win as there are units, and all others hear that they did not."""
    types = Counter(event.type.split(".")[1] for event in world.log.events)
    found = types["order_placed"], types["order_confirmed"], types["order_rejected"]
    if found != (BUYERS, UNITS, BUYERS - UNITS):
        yield f"of {found[0]} buyers {found[1]} won and {found[2]} were refused"


def refused_on_what_was_kept(request: AppendRequest, worker: Worker) -> Iterator[str]:
    """A refusal is decided on stock that this worker read from the log after the trigger had arrived."""
    if not any(event.type == "ordering.order_rejected.v2" for event in request.events):
        return
    causation = decode_metadata(request.events[0].metadata).causation
    assert causation is not None
    position = int(causation.partition(".")[2])
    for expectation in request.expectations:
        if expectation.stream.startswith("stock-"):
            read_at = worker.read_at.get(expectation.stream, -1)
            if read_at < worker.delivered_at[position]:
                yield f"{causation} refused on {expectation.stream} from the cache"


def run(seed: int) -> list[str]:
    """One schedule; what is wrong at its end."""
    return processes.run(
        seed,
        processes=PROCESSES,
        callers=lambda world: Shop(world).call,
        check=lambda world: checking.check(world.log),
        suspect=refused_on_what_was_kept,
    )


def sell_the_last_units(seed: int) -> list[str]:
    """One schedule in which many want the last units; what is wrong at its end."""
    return processes.run(
        seed,
        processes=PROCESSES,
        callers=lambda world: Buyers(world).call,
        check=lambda world: [*checking.check(world.log), *last_units_sold_otherwise(world)],
        suspect=refused_on_what_was_kept,
    )
