"""Rows of a view that changed after a position, as they were at it: folded again from the log."""

from typing import Any, Final

from msgspec import Struct

from event_store.log import reading
from projections import replay
from projections.folding import decoder_of
from projections.view import Row, View
from runtime.problems import ProblemError

EVENTS_SINCE_MAX: Final = 20_000
"""Positions of the log behind which rows are still folded back; they are looked through for the keys that changed."""

KEYS_CHANGED_MAX: Final = 2_000
"""Rows that are folded back for one page."""

EVENTS_FOLDED_MAX: Final = 20_000
"""Events that are folded for one page: some tenths of a second of a processor."""


class EarlierRows(Struct, frozen=True):
    """Ids of the rows that may have changed, and the rows of those that were there."""

    ids: list[str]
    rows: list[Row]


def since(connection: reading.Connection, view: View[Any], position: int, *, head: int) -> EarlierRows:
    """What was at `position` where anything happened from there to `head`; the view's key is the id of a stream.

    Raises:
        ProblemError: `pin-expired`: too much has happened.
    """
    if head - position > EVENTS_SINCE_MAX:
        raise _expired(f"The log has {head - position} events since position {position}.", position)
    keys = reading.keys_changed(connection, after=position, upto=head, types=decoder_of([view]).types)
    if len(keys) > KEYS_CHANGED_MAX:
        raise _expired(f"{len(keys)} entries changed since position {position}.", position)
    try:
        rows = replay.fold_keys(connection, view, keys, upto=position, events_max=EVENTS_FOLDED_MAX)
    except replay.TooManyEvents as error:
        raise _expired(
            f"What changed since position {position} has over {error} events.", position
        ) from error
    beginning = view.partition_key_of(("",))
    ids = [key.removeprefix(beginning) for key in keys if key.startswith(beginning)]
    return EarlierRows(ids, list(rows.values()))


def _expired(detail: str, position: int) -> ProblemError:
    return ProblemError("pin-expired", detail, pinned=position)
