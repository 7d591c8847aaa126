"""Turns a plan into commands whose keys a second run repeats; sends them in bounded, concurrent batches."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from counterfoil.importing.mapping import CURRENCY, Adjustment, CreditNote, InvoiceLine, Order, Product
from counterfoil.importing.shop import BATCH_COMMANDS_MAX, Command, Shop, Verdict

BATCHES_IN_FLIGHT_MAX = 4
BATCH_LINES_MAX = 2_000  # a batch of large orders stays far below the API's body limit
RECEIPT_UNITS_MAX = 10_000_000  # the command API's limit for one quantity

OnVerdict = Callable[[Command, Verdict], None]


def send_all(shop: Shop, commands: Iterable[Command], *, on_verdict: OnVerdict) -> None:
    """Send every command and hand each verdict to `on_verdict`, in this thread, in no promised order.

    Returns when all are answered. Raises what `Shop.send` raises; batches in flight may have taken effect.
    """
    batches = batched(commands)
    in_flight: dict[Future[list[Verdict]], list[Command]] = {}
    pool = ThreadPoolExecutor(BATCHES_IN_FLIGHT_MAX, thread_name_prefix="import")
    try:
        while True:
            for batch in itertools.islice(batches, BATCHES_IN_FLIGHT_MAX - len(in_flight)):
                in_flight[pool.submit(shop.send, batch)] = batch
            if not in_flight:
                return
            for future in wait(in_flight, return_when=FIRST_COMPLETED).done:
                for command, verdict in zip(in_flight.pop(future), future.result(), strict=True):
                    on_verdict(command, verdict)
    except BaseException:
        shop.give_up()  # threads that wait for the shop to come back end now, not after their patience
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def batched(commands: Iterable[Command]) -> Iterator[list[Command]]:
    """Cut a sequence of commands into batches that respect the API's limits."""
    batch: list[Command] = []
    lines = 0
    for command in commands:
        if batch and (len(batch) == BATCH_COMMANDS_MAX or lines + len(command.rows) > BATCH_LINES_MAX):
            yield batch
            batch, lines = [], 0
        batch.append(command)
        lines += len(command.rows)
    if batch:
        yield batch


class Commands:
    """Commands of one file. A key is the file's digest and the first row of what the command is made of."""

    def __init__(self, digest: str, *, file_name: str) -> None:
        self._prefix = f"online-retail:{digest[:32]}"
        self._reference = f"opening stock of {file_name}"[:200]

    def create_product(self, product: Product) -> Command:
        """Opens the code's product; that it exists already, from another file, is fine."""
        body: dict[str, object] = {"sku": product.code, "title": product.title, "stocked": product.stocked}
        if product.list_price is not None:
            body |= {"unit_price": product.list_price, "currency": CURRENCY}
        return Command(
            self._key("product", product.row), "create_product", body, (product.row,), exists_is_fine=True
        )

    def receive_opening_stock(self, product: Product) -> Iterator[Command]:
        """The units that the file takes out of stock, in receipts the command API accepts."""
        units = range(0, product.opening_units, RECEIPT_UNITS_MAX)
        for part, start in enumerate(units):
            quantity = min(RECEIPT_UNITS_MAX, product.opening_units - start)
            yield Command(
                self._key(f"receipt-{part}", product.row),
                "receive_stock",
                {"quantity": quantity, "reference": self._reference},
                (product.row,),
                target=product.code,
            )

    def adjust_stock(self, adjustment: Adjustment) -> Command:
        """A line of the file that moved stock without a sale."""
        body = {"delta": adjustment.delta, "reason": "import", "note": adjustment.note}
        key = self._key("adjustment", adjustment.row)
        return Command(key, "adjust_stock", body, (adjustment.row,), target=adjustment.code)

    def place_order(self, order: Order) -> Command:
        """An invoice, as a sale of its day at the prices it names."""
        body: dict[str, object] = {
            "order_id": order.order_id,
            "placed_at": order.placed_at,
            "country": order.country,
            "currency": CURRENCY,
            "lines": _lines(order.lines),
        }
        if order.customer is not None:
            body["customer_id"] = order.customer
        return Command(self._key("order", order.lines[0].row), "place_order", body, _rows(order.lines))

    def issue_credit_note(self, note: CreditNote) -> Command:
        """A cancelled invoice of the file: units and money back."""
        body: dict[str, object] = {
            "credit_note_id": note.credit_note_id,
            "issued_at": note.issued_at,
            "country": note.country,
            "currency": CURRENCY,
            "lines": _lines(note.lines),
        }
        if note.customer is not None:
            body["customer_id"] = note.customer
        return Command(
            self._key("credit-note", note.lines[0].row), "issue_credit_note", body, _rows(note.lines)
        )

    def ship_order(self, order_id: str, *, row: int) -> Command:
        """Shipment of a confirmed order; `row` is the first row of its invoice."""
        return Command(self._key("shipment", row), "ship_order", {}, (row,), target=order_id)

    def _key(self, kind: str, row: int) -> str:
        return f"{self._prefix}:{kind}:r{row}"


def _lines(lines: Iterable[InvoiceLine]) -> list[dict[str, object]]:
    return [{"sku": line.code, "quantity": line.quantity, "unit_price": line.unit_price} for line in lines]


def _rows(lines: Iterable[InvoiceLine]) -> tuple[int, ...]:
    return tuple(line.row for line in lines)
