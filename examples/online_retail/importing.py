"""Imports one online-retail file into a running shop: stock, then sales, then shipping, then the figures."""

import csv
import itertools
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from counterfoil import progress
from examples.online_retail import before as before_
from examples.online_retail import mapping, retail_file
from examples.online_retail.errors import UnexpectedAnswer
from examples.online_retail.formats import Format
from examples.online_retail.lagging import lags, settled_heads, wait_until_caught_up
from examples.online_retail.mapping import Plan
from examples.online_retail.posting import Commands, send_all
from examples.online_retail.retail_line import Refusal, RetailLine
from examples.online_retail.shop import Command, Shop, Verdict

PAGE_ORDERS_MAX = 100
REASON_MAX_CHARACTERS = 500
REFUSALS_SAID_MAX = 10


class _OrderRow(msgspec.Struct):
    order_id: str


class _OrderPage(msgspec.Struct):
    items: list[_OrderRow]
    next_cursor: str | None = None


class ImportSummary(msgspec.Struct):
    """What one run has to tell besides the figures."""

    figures: dict[str, int]
    refused: int
    refused_file: str
    not_shipped: int
    events: int
    seconds: float
    kept: Path

    @property
    def complete(self) -> bool:
        """Whether every line became something, and every order was shipped."""
        return not self.refused and not self.not_shipped

    def as_json(self) -> dict[str, object]:
        """The object scripts rely on."""
        figures: dict[str, object] = dict(self.figures)
        return figures | {
            "refused": self.refused,
            "refused_file": self.refused_file,
            "not_shipped": self.not_shipped,
            "events": self.events,
            "seconds": round(self.seconds, 1),
        }


def run(
    path: Path, *, shop: Shop, kept_in: Path, form: Format = Format.CSV, sheet: str | None = None
) -> ImportSummary:
    """Import the file, or go on where a killed run stopped, and return what the shop shows of it.

    Args:
        path: a CSV file, plain or gzip, or a workbook.
        shop: both APIs.
        kept_in: directory for the totals before the import and for the refused lines.
        form: what the file is.
        sheet: of a workbook that has several, the one to import.

    Raises:
        ImportFailed: the file is bad (nothing was sent), or the shop is gone or stuck (run again to go on).
    """
    started = time.monotonic()
    digest = retail_file.file_digest(path, sheet=sheet)
    lines = retail_file.read_lines(path, form=form, sheet=sheet)
    plan = mapping.plan(_counted(lines), columns=form.columns)
    kept = kept_in / f"{digest[:16]}.json"
    refused = _Refused(kept_in / f"{digest[:16]}-refused.csv", plan.refusals)
    before = _before(path, digest, plan, shop=shop, kept=kept)
    held = frozenset(before.held)
    commands = Commands(digest, file_name=path.name)
    try:
        not_shipped = _Import(plan, commands, shop=shop, refused=refused, held=held).run()
    finally:
        refused.write()
    progress.say("waiting until relay, process managers and views reach the head of the log")
    head = wait_until_caught_up(shop)
    after = before_.read_figures(shop)
    return ImportSummary(
        figures={name: after[name] - before.figures[name] for name in before_.FIGURES},
        refused=len(refused),
        refused_file=str(refused.path),
        not_shipped=not_shipped,
        events=head - before.position,
        seconds=time.monotonic() - started,
        kept=kept,
    )


def finish(outcome: ImportSummary) -> None:
    """Forget the totals before; to be called once the outcome was printed: it cannot be again afterwards."""
    outcome.kept.unlink(missing_ok=True)


def _counted(entries: Iterable[RetailLine | Refusal]) -> Iterator[RetailLine | Refusal]:
    with progress.step("reading", total=None, unit="lines") as step:
        for entry in entries:
            step.advance()
            yield entry


def _before(path: Path, digest: str, plan: Plan, *, shop: Shop, kept: Path) -> before_.Before:
    found = before_.load(kept, head=lags(shop).log.position)
    if found is not None:
        progress.say("continuing an unfinished import of this file")
        return found
    head = wait_until_caught_up(shop)
    # An order that the shop has from another file took its pieces then. Where nothing ever happened there is none.
    held = before_.held_orders(shop, [order.order_id for order in plan.orders]) if head else []
    if held:
        progress.say(f"{len(held):,} of {len(plan.orders):,} orders are in the shop already")
    taken = before_.Before(path.name, digest, head, before_.read_figures(shop), held)
    before_.keep(kept, taken)
    return taken


class _Refused:
    """Lines that did not become anything, from the reader, the mapping and the shop, by row."""

    def __init__(self, path: Path, refusals: Iterable[Refusal]) -> None:
        self.path = path
        self._by_row = {refusal.row: refusal for refusal in refusals}

    def __len__(self) -> int:
        return len(self._by_row)

    def add(self, command: Command, verdict: Verdict) -> None:
        reason = f"{command.command} answered {verdict.status} {verdict.problem}: {verdict.reason}"
        for row in command.rows:
            self._by_row.setdefault(row, Refusal(row, "", reason[:REASON_MAX_CHARACTERS]))

    def write(self) -> None:
        """Write all of them into the file, and say the first ones."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        refusals = sorted(self._by_row.values())
        with self.path.open("w", newline="", encoding="utf-8") as target:
            rows = csv.writer(target)
            rows.writerow(Refusal._fields)
            rows.writerows(refusals)
        for row, column, reason in refusals[:REFUSALS_SAID_MAX]:
            progress.say(f"refused: row {row}: {f'{column}: ' if column else ''}{reason}")
        if len(refusals) > REFUSALS_SAID_MAX:
            progress.say(f"refused: {len(refusals):,} rows in all, see {self.path}")


class _Import:
    """The phases, in the order that makes every interleaving behind them harmless."""

    def __init__(
        self, plan: Plan, commands: Commands, *, shop: Shop, refused: _Refused, held: frozenset[str]
    ) -> None:
        self._plan = plan
        self._commands = commands
        self._shop = shop
        self._refused = refused
        self._held = held
        self._placed: set[str] = set()

    def run(self) -> int:
        """Return how many orders could not be shipped."""
        plan, make = self._plan, self._commands
        self._send("products", map(make.create_product, plan.products), total=len(plan.products))
        stock = mapping.opening_stock(plan, held=self._held)
        removed = [adjustment for adjustment in plan.adjustments if adjustment.delta < 0]
        receipts = itertools.chain(
            itertools.chain.from_iterable(itertools.starmap(make.receive_opening_stock, stock.items())),
            map(make.receive_for_adjustment, removed),
        )
        self._send("opening stock", receipts, total=len(stock) + len(removed))
        # Every receipt is acknowledged here, so no order of 1,500 lines can run short behind an adjustment.
        sales = itertools.chain(
            map(make.place_order, plan.orders),
            map(make.adjust_stock, plan.adjustments),
            map(make.issue_credit_note, plan.credit_notes),
        )
        total = len(plan.orders) + len(plan.adjustments) + len(plan.credit_notes)
        self._send("orders, adjustments, credit notes", sales, total=total)
        return self._ship()

    def _send(self, name: str, commands: Iterable[Command], *, total: int) -> None:
        with progress.step(name, total=total, unit="commands") as step:

            def on_verdict(command: Command, verdict: Verdict) -> None:
                step.advance()
                if not (verdict.accepted or verdict.problem in command.settled_by):
                    self._refuse(command, verdict)
                elif command.command == "place_order":
                    self._placed.add(str(command.body["order_id"]))

            send_all(self._shop, commands, on_verdict=on_verdict)

    def _refuse(self, command: Command, verdict: Verdict) -> None:
        if not command.rows:  # what sales rely on: nothing is sold without it
            raise UnexpectedAnswer(
                f"{command.command} {command.target or command.body.get('sku')} answered"
                f" {verdict.status} {verdict.problem}: {verdict.reason}"
            )
        self._refused.add(command, verdict)

    def _ship(self) -> int:
        """Ship what fulfilment confirmed, until a settled shop lists no order of this file.

        Only orders that this file placed, or another file that says the same: one that has the number of an invoice
        and was refused for it is somebody else's.
        """
        shipped: set[str] = set()
        failed = 0

        with progress.step("shipping", total=len(self._placed), unit="orders") as step:

            def on_verdict(command: Command, verdict: Verdict) -> None:
                nonlocal failed
                step.advance()
                if verdict.status >= 500:
                    raise UnexpectedAnswer(f"shipping {command.target}: {verdict.reason}")
                failed += not verdict.accepted

            for settled_head in settled_heads(self._shop):
                found = self._to_ship(shipped)
                first = next(found, None)
                if first is not None:
                    send_all(self._shop, itertools.chain((first,), found), on_verdict=on_verdict)
                elif settled_head is not None:
                    break
        return failed + len(self._placed.intersection(_orders(self._shop, status="rejected")))

    def _to_ship(self, shipped: set[str]) -> Iterator[Command]:
        for order_id in _orders(self._shop, status="confirmed"):
            if order_id in self._placed and order_id not in shipped:
                shipped.add(order_id)
                yield self._commands.ship_order(order_id)


def _orders(shop: Shop, *, status: str) -> Iterator[str]:
    """Ids of all orders the query API lists with this status; bounded by the cursor reaching the end."""
    query: dict[str, str | int] = {"status": status, "limit": PAGE_ORDERS_MAX}
    while True:
        page = shop.ask("/orders", _OrderPage, **query)
        yield from (row.order_id for row in page.items)
        if not page.next_cursor:
            return
        query["cursor"] = page.next_cursor
