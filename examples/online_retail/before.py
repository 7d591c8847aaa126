"""What the shop showed before a file was first sent, kept so that a resumed run sends the same and reports it all."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from examples.online_retail.errors import UnexpectedAnswer
from examples.online_retail.formats import CURRENCY
from examples.online_retail.shop import Shop
from runtime.decoders import json_decoder

QUESTIONS_IN_FLIGHT_MAX = 4

FIGURES_BY_CURRENCY = (
    "orders",
    "order_lines",
    "credit_notes",
    "credit_lines",
    "revenue",
    "credited",
    "days",
    "customers",
    "codes_sold",
)
FIGURES = (*FIGURES_BY_CURRENCY, "adjustments", "on_hand_total")


class Before(msgspec.Struct, frozen=True):
    """Kept as JSON below the home directory until the import of the file is finished."""

    file: str
    digest: str
    position: int  # of the log, when the totals were read
    figures: dict[str, int]
    held: list[str]  # orders of the file that the shop had already, from another one


class _Totals(msgspec.Struct):
    totals: dict[str, dict[str, int]]
    adjustments: int
    on_hand_total: int


def read_figures(shop: Shop) -> dict[str, int]:
    """The figures an import reports, as the query API shows them now."""
    answer = shop.ask("/totals", _Totals)
    of_currency = answer.totals.get(CURRENCY, {})
    missing = [name for name in FIGURES_BY_CURRENCY if of_currency and name not in of_currency]
    if missing:
        raise UnexpectedAnswer(f"GET /v1/totals has no {', '.join(missing)} for {CURRENCY}")
    figures = {name: of_currency.get(name, 0) for name in FIGURES_BY_CURRENCY}
    return figures | {"adjustments": answer.adjustments, "on_hand_total": answer.on_hand_total}


def held_orders(shop: Shop, order_ids: Sequence[str]) -> list[str]:
    """Those of these orders that the shop has."""
    paths = [f"/orders/{order_id}" for order_id in order_ids]
    with ThreadPoolExecutor(QUESTIONS_IN_FLIGHT_MAX, thread_name_prefix="import") as pool:
        found = pool.map(shop.holds, paths)
        return [order_id for order_id, held in zip(order_ids, found, strict=True) if held]


def load(path: Path, *, head: int) -> Before | None:
    """What an unfinished run left, unless it belongs to a log that a shorter one has since replaced."""
    try:
        before = json_decoder(Before).decode(path.read_bytes())
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise UnexpectedAnswer(f"{path} is not what an import keeps there ({error}); move it away") from error
    return before if before.position <= head else None


def keep(path: Path, before: Before) -> None:
    """Write so that a kill leaves either nothing or the whole file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}.draft")
    with draft.open("wb") as target:
        target.write(msgspec.json.encode(before))
        target.flush()
        os.fsync(target.fileno())
    draft.replace(path)
