"""The shop's totals before a file was first sent, kept so that a resumed run reports the whole file."""

import os
from pathlib import Path

import msgspec

from counterfoil.importing.errors import UnexpectedAnswer
from counterfoil.importing.mapping import CURRENCY
from counterfoil.importing.shop import Shop

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
        raise UnexpectedAnswer(f"GET /totals has no {', '.join(missing)} for {CURRENCY}")
    figures = {name: of_currency.get(name, 0) for name in FIGURES_BY_CURRENCY}
    return figures | {"adjustments": answer.adjustments, "on_hand_total": answer.on_hand_total}


def load(path: Path, *, head: int) -> Before | None:
    """What an unfinished run left, unless it belongs to a log that a shorter one has since replaced."""
    try:
        before = msgspec.json.decode(path.read_bytes(), type=Before)
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
