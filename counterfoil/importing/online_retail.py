"""Imports one online-retail file into a running shop: stock, then sales, then shipping, then the figures."""

import csv
import itertools
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from counterfoil import progress
from counterfoil.importing import before as before_
from counterfoil.importing import mapping, retail_file
from counterfoil.importing.errors import UnexpectedAnswer
from counterfoil.importing.mapping import Plan, Refusal
from counterfoil.importing.sending import Commands, send_all
from counterfoil.importing.shop import Command, Shop, Verdict
from counterfoil.importing.standing import standing, wait_until_caught_up, watch

PAGE_ORDERS_MAX = 100
REASON_MAX_CHARACTERS = 500


class _OrderRow(msgspec.Struct):
    order_id: str


class _OrderPage(msgspec.Struct):
    items: list[_OrderRow]
    next_cursor: str | None = None


class Outcome(msgspec.Struct):
    """What one run has to tell besides the figures."""

    figures: dict[str, int]
    refused: int
    refused_file: str
    not_shipped: int
    events: int
    seconds: float
    kept: Path

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


def run(path: Path, *, shop: Shop, kept_in: Path) -> Outcome:
    """Import the file, or go on where a killed run stopped, and return what the shop shows of it.

    Args:
        path: csv or csv.gz.
        shop: both APIs.
        kept_in: directory for the totals before the import and for the refused lines.

    Raises:
        ImportFailed: the file is bad (nothing was sent), or the shop is gone or stuck (run again to go on).
    """
    started = time.monotonic()
    digest = retail_file.file_digest(path)
    plan = mapping.plan(_counted(retail_file.read_lines(path)))
    kept = kept_in / f"{digest[:16]}.json"
    refused = _Refused(kept_in / f"{digest[:16]}-refused.csv", plan.refusals)
    before = _before(path, digest, shop=shop, kept=kept)
    try:
        not_shipped = _Import(plan, Commands(digest, file_name=path.name), shop=shop, refused=refused).run()
    finally:
        refused.write()
    progress.say("waiting until relay, policies and views stand at the head of the log")
    head = wait_until_caught_up(shop)
    after = before_.read_figures(shop)
    return Outcome(
        figures={name: after[name] - before.figures[name] for name in before_.FIGURES},
        refused=len(refused),
        refused_file=str(refused.path),
        not_shipped=not_shipped,
        events=head - before.position,
        seconds=time.monotonic() - started,
        kept=kept,
    )


def finish(outcome: Outcome) -> None:
    """Forget the totals before; to be called once the outcome was told, since afterwards nobody can tell it again."""
    outcome.kept.unlink(missing_ok=True)


def _counted(lines: Iterable[retail_file.RetailLine]) -> Iterator[retail_file.RetailLine]:
    with progress.step("reading", total=None, unit="lines") as step:
        for line in lines:
            step.advance()
            yield line


def _before(path: Path, digest: str, *, shop: Shop, kept: Path) -> before_.Before:
    found = before_.load(kept, head=standing(shop).log.position)
    if found is not None:
        progress.say("going on with an import of this file that was not finished")
        return found
    head = wait_until_caught_up(shop)
    taken = before_.Before(path.name, digest, head, before_.read_figures(shop))
    before_.keep(kept, taken)
    return taken


class _Refused:
    """Lines that did not become anything, from the mapping and from the shop, by row."""

    def __init__(self, path: Path, refusals: Iterable[Refusal]) -> None:
        self.path = path
        self._reasons = {refusal.row: refusal.reason for refusal in refusals}

    def __len__(self) -> int:
        return len(self._reasons)

    def add(self, command: Command, verdict: Verdict) -> None:
        reason = f"{command.command} answered {verdict.status} {verdict.problem}: {verdict.reason}"
        for row in command.rows:
            self._reasons.setdefault(row, reason[:REASON_MAX_CHARACTERS])

    def write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("w", newline="", encoding="utf-8") as target:
            rows = csv.writer(target)
            rows.writerow(("row", "reason"))
            rows.writerows(sorted(self._reasons.items()))


class _Import:
    """The phases, in the order that makes every interleaving behind them harmless."""

    def __init__(self, plan: Plan, commands: Commands, *, shop: Shop, refused: _Refused) -> None:
        self._plan = plan
        self._commands = commands
        self._shop = shop
        self._refused = refused

    def run(self) -> int:
        """Return how many orders could not be shipped."""
        plan, make = self._plan, self._commands
        self._send("products", (make.create_product(product) for product in plan.products))
        receipts = itertools.chain.from_iterable(
            make.receive_opening_stock(product) for product in plan.products
        )
        self._send("opening stock", receipts)
        # Every receipt is acknowledged here, so no order of 1,500 lines can run short behind an adjustment.
        sales = itertools.chain(
            (make.place_order(order) for order in plan.orders),
            (make.adjust_stock(adjustment) for adjustment in plan.adjustments),
            (make.issue_credit_note(note) for note in plan.credit_notes),
        )
        total = len(plan.orders) + len(plan.adjustments) + len(plan.credit_notes)
        self._send("orders, adjustments, credit notes", sales, total=total)
        return self._ship()

    def _send(self, name: str, commands: Iterable[Command], *, total: int | None = None) -> None:
        with progress.step(name, total=total or len(self._plan.products), unit="commands") as step:

            def on_verdict(command: Command, verdict: Verdict) -> None:
                step.advance()
                existed = command.exists_is_fine and verdict.status == 409
                if not verdict.accepted and not existed:
                    self._refused.add(command, verdict)

            send_all(self._shop, commands, on_verdict=on_verdict)

    def _ship(self) -> int:
        """Ship what the fulfilment policy confirmed, until a settled shop lists no order of this file."""
        rows = {order.order_id: order.lines[0].row for order in self._plan.orders}
        shipped: set[str] = set()
        failed = 0

        with progress.step("shipping", total=len(rows), unit="orders") as step:

            def on_verdict(command: Command, verdict: Verdict) -> None:
                nonlocal failed
                step.advance()
                if verdict.status >= 500:
                    raise UnexpectedAnswer(f"shipping {command.target}: {verdict.reason}")
                failed += not verdict.accepted

            for settled_head in watch(self._shop):
                found = self._to_ship(rows, shipped)
                first = next(found, None)
                if first is not None:
                    send_all(self._shop, itertools.chain((first,), found), on_verdict=on_verdict)
                elif settled_head is not None:
                    break
        return failed

    def _to_ship(self, rows: dict[str, int], shipped: set[str]) -> Iterator[Command]:
        for order_id in _confirmed_orders(self._shop):
            if order_id in rows and order_id not in shipped:
                shipped.add(order_id)
                yield self._commands.ship_order(order_id, row=rows[order_id])


def _confirmed_orders(shop: Shop) -> Iterator[str]:
    """Ids of all orders the query API lists as confirmed; bounded by the cursor reaching the end."""
    query: dict[str, str | int] = {"status": "confirmed", "limit": PAGE_ORDERS_MAX}
    while True:
        page = shop.ask("/orders", _OrderPage, **query)
        yield from (row.order_id for row in page.items)
        if not page.next_cursor:
            return
        query["cursor"] = page.next_cursor
