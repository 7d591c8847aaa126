"""Waiting until views and documents stand where the log does, before anything is measured."""

import time
from collections.abc import Callable
from typing import Final

import redis

from counterfoil.contexts import CONTEXTS
from event_store.log import reading
from projections import builds
from runtime import database, documents

WAIT_S_MAX: Final = 900.0
POLL_S: Final = 0.05

_SHIPPED: Final = "select count(*) from views.order_details where status = 'shipped'"
_NEWEST: Final = """
select p.partition, p.position from views.checkpoint p
join views.live l on (l.view, l.shape, l.build) = (p.view, p.shape, p.build) where p.view = %(view)s
"""


def eventually(holds: Callable[[], bool], what: str) -> None:
    """Wait until something holds."""
    give_up = time.monotonic() + WAIT_S_MAX
    while not holds():
        assert time.monotonic() < give_up, f"waited {WAIT_S_MAX:.0f} s until {what}"
        time.sleep(POLL_S)


def wait_for_orders(url: str, *, orders: int) -> None:
    """Wait until the view of orders shows the last fact of every order of a history."""
    with database.connect(url, role="counterfoil_projector", name="benchmark") as connection:

        def stands() -> bool:
            exists = connection.execute("select to_regclass('views.order_details') is not null").fetchone()
            return exists == (True,) and connection.execute(_SHIPPED).fetchone() == (orders,)

        eventually(stands, f"{orders} orders are shown as shipped")


def wait_for_documents(url: str, redis_url: str, view: str) -> None:
    """Wait until the documents of a view go as far as its rows."""
    declared = next(each for each in CONTEXTS.views if each.name == view)
    assert declared.document is not None
    name = declared.document
    with (
        database.connect(url, role="counterfoil_projector", name="benchmark") as connection,
        redis.Redis.from_url(redis_url) as client,
    ):
        history = reading.history(connection)
        prefix = documents.prefix(
            name,
            installation=history.installation,
            epoch=history.epoch,
            build=builds.live(connection, view).label,
        )

        def mirrored() -> bool:
            for partition, position in connection.execute(_NEWEST, {"view": view}).fetchall():
                key = documents.checkpoint_key(prefix, partition=int(str(partition)))
                value = client.get(key)
                if not isinstance(value, bytes) or documents.parse_checkpoint(value).position < position:
                    return False
            return True

        eventually(mirrored, f"documents of {view} go as far as its rows")
