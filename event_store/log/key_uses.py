"""Which data keys the events of their subjects use: those of the subject's own stream, and those that carry its tag."""

from collections.abc import Sequence
from typing import Any, Final

import psycopg

_USED: Final = """
select given.key_id
from unnest(%s::text[], %s::text[], %s::text[]) as given (key_id, stream, tag)
where exists (
    select from log.event e where e.stream = given.stream and strpos(e.payload::text, given.key_id) > 0
) or exists (
    select from log.tag t join log.event e on e.position = t.position
    where t.tag = given.tag and strpos(e.payload::text, given.key_id) > 0
)
"""


async def used_keys(
    connection: psycopg.AsyncConnection[tuple[Any, ...]], keys: Sequence[tuple[str, str]]
) -> set[str]:
    """Those of these keys, each with the stream of its subject, that an event names."""
    if not keys:
        return set()
    ids, streams = map(list, zip(*keys, strict=True))
    tags = [stream.replace("-", ":", 1) for stream in streams]  # domain.ids.customer_tag
    rows = await (await connection.execute(_USED, [ids, streams, tags])).fetchall()
    return {str(key_id) for (key_id,) in rows}
