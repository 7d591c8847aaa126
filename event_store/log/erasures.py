"""The list of erasures: whose data keys must never be used again, as the log has it.

It is made of events that carry the tag `erasure` and name keys in `key_ids`. From the request of an erasure on nothing
opens; that a key was destroyed as well is recorded later.
"""

from typing import Any, Final

import psycopg
from msgspec import Struct

from domain.sealed import ERASURE_TAG

PAGE: Final = 1_000
"""Events in one query."""

_ERASURES: Final = """
select h.epoch, h.position, t.position, array(select json_array_elements_text(e.payload -> 'key_ids'))
from log.head h
left join lateral (
    select position from log.tag where tag = %(tag)s and position > %(after)s order by position limit %(page)s
) t on true
left join log.event e on e.position = t.position
order by t.position
"""


class ErasedKeys(Struct, frozen=True):
    """Keys that were erased behind a position, up to another one of this epoch."""

    epoch: int
    position: int
    key_ids: list[str]


async def erased_behind(connection: psycopg.AsyncConnection[tuple[Any, ...]], position: int) -> ErasedKeys:
    """Everything that was erased behind a position, in order."""
    key_ids: list[str] = []
    while True:
        rows = await (
            await connection.execute(_ERASURES, {"tag": ERASURE_TAG, "after": position, "page": PAGE})
        ).fetchall()
        epoch, head, last, _ = rows[-1]
        key_ids += [key for *_, keys in rows for key in keys]
        if len(rows) < PAGE:
            return ErasedKeys(epoch, head, key_ids)
        position = last
