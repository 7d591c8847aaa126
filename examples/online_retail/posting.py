"""Turns a plan into commands whose keys a second run repeats; sends them in bounded, concurrent batches."""

import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

import msgspec

from domain import text
from domain.money import UnitPrice, shortest
from domain.quantity import QUANTITY_MAX
from examples.online_retail.formats import CURRENCY
from examples.online_retail.mapping import Adjustment, CreditNote, InvoiceLine, Order, Product
from examples.online_retail.shop import BATCH_COMMANDS_MAX, Command, Shop, Verdict

BATCHES_IN_FLIGHT_MAX = 4
BATCH_LINES_MAX = 2_000  # a batch of large orders stays far below the API's body limit
DIGEST_CHARACTERS = 32

# Problems that settle a command as an acceptance would. A key that was used for something else was used for the same
# line of another file, which spells what does not matter differently: the note, a price, the file's name.
_SAME = frozenset({"idempotency-key-reused"})
_EXISTS = _SAME | {"sku-taken"}
_RECEIVED = _SAME | {"not-stocked"}  # the shop does not count this product, so nothing of it is ever short

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
    """Commands of one file.

    A key is made of the business: what an invoice, or a line of it, says. So whatever two files share is one command,
    and the shop carries it out once. Only opening stock is a file's own: it is the sum of what that file sells.
    """

    def __init__(self, digest: str, *, file_name: str) -> None:
        self._digest = digest[:DIGEST_CHARACTERS]
        shown = "".join(character if character.isprintable() else "?" for character in file_name)
        self._reference = f"opening stock of {shown}"[: text.REFERENCE_CHARACTERS_MAX]

    def create_product(self, product: Product) -> Command:
        """Opens the SKU's product. One that exists already keeps its title and price."""
        body: dict[str, object] = {"sku": product.sku, "title": product.title, "stocked": product.stocked}
        if product.list_price is not None:
            body |= {"unit_price": product.list_price, "currency": CURRENCY}
        return Command(_key("product", product.sku), "create_product", body, settled_by=_EXISTS)

    def receive_opening_stock(self, sku: str, units: int) -> Iterator[Command]:
        """The pieces that the file's orders take out of stock, in receipts the command API accepts."""
        for part, start in enumerate(range(0, units, QUANTITY_MAX)):
            yield Command(
                _key("receipt", self._digest, sku, part),
                "receive_stock",
                {"quantity": min(QUANTITY_MAX, units - start), "reference": self._reference},
                target=sku,
                settled_by=_RECEIVED,
            )

    def receive_for_adjustment(self, adjustment: Adjustment) -> Command:
        """The pieces that one adjustment takes out of stock, once however many files hold it."""
        return Command(
            _key("adjustment-receipt", *_line(adjustment)),
            "receive_stock",
            {"quantity": -adjustment.delta, "reference": f"opening stock for {adjustment.invoice}"},
            target=adjustment.sku,
            settled_by=_RECEIVED,
        )

    def adjust_stock(self, adjustment: Adjustment) -> Command:
        """A line of the file that moved stock without a sale."""
        return Command(
            _key("adjustment", *_line(adjustment)),
            "adjust_stock",
            {"delta": adjustment.delta, "reason": "import", "note": adjustment.note},
            rows=(adjustment.row,),
            target=adjustment.sku,
            settled_by=_SAME,
        )

    def place_order(self, order: Order) -> Command:
        """An invoice, as a sale of its day at the prices it names."""
        body = _document(order.customer, order.country, order.lines)
        body |= {"order_id": order.order_id, "placed_at": order.placed_at}
        return Command(
            _key("order", order.order_id, _content(body, order.lines)),
            "place_order",
            body,
            rows=_rows(order.lines),
            settled_by=_SAME,
        )

    def issue_credit_note(self, note: CreditNote) -> Command:
        """A cancelled invoice of the file: pieces and money back."""
        body = _document(note.customer, note.country, note.lines)
        body |= {"credit_note_id": note.credit_note_id, "issued_at": note.issued_at}
        return Command(
            _key("credit-note", note.credit_note_id, _content(body, note.lines)),
            "issue_credit_note",
            body,
            rows=_rows(note.lines),
            settled_by=_SAME,
        )

    def ship_order(self, order_id: str) -> Command:
        """Shipment of a confirmed order."""
        return Command(_key("shipment", order_id), "ship_order", {}, target=order_id)


def _key(kind: str, *parts: str | int) -> str:
    # No SKU has a plus or a colon, so different parts make different keys; the longest is well below the API's limit.
    return ":".join(("online-retail", kind, *map(str, parts))).replace(" ", "+")


def _line(adjustment: Adjustment) -> tuple[str | int, ...]:
    """The adjustment's name: a note that one of two files spells differently is no second adjustment."""
    return adjustment.invoice, adjustment.sku, adjustment.delta, adjustment.ordinal


def _document(customer: str | None, country: str, lines: Sequence[InvoiceLine]) -> dict[str, object]:
    body: dict[str, object] = {"country": country, "currency": CURRENCY}
    if customer is not None:
        body["customer_id"] = customer
    return body | {
        "lines": [
            {"sku": line.sku, "quantity": line.quantity, "unit_price": line.unit_price} for line in lines
        ]
    }


def _content(body: Mapping[str, object], lines: Iterable[InvoiceLine]) -> str:
    """A digest of what a document says, whatever the order of its lines and the spelling of its prices.

    The same invoice of another file has the same key then, and one that says something else has another: it is
    refused because the shop has its number.
    """
    said = sorted((line.sku, line.quantity, shortest(UnitPrice(line.unit_price))) for line in lines)
    members = {name: value for name, value in body.items() if name != "lines"}
    content = msgspec.json.encode((sorted(members.items()), said))
    return hashlib.sha256(content).hexdigest()[:DIGEST_CHARACTERS]


def _rows(lines: Iterable[InvoiceLine]) -> tuple[int, ...]:
    return tuple(line.row for line in lines)
