"""Sentences for tests of queries over HTTP: given events in a log that views have, when something is asked, then this.

async with opened(database_url, LENDING) as library:
    await library.record((BOOK, "dune", BookLent("dune", "ada")))
    await library.carried()
    (await library.get("/v1/books/dune")).then_shown({"book_id": "dune", "reader_id": "ada"})
    (await library.get("/v1/books/emma")).then_refused(404, "not-found")
    (await library.get("/v1/books")).then_listed({"book_id": "dune", "reader_id": "ada"})

The query API runs in the process of the test, on real views, fed by the product's own relay and projections.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from commands.decision import Appended
from counterfoil import applications
from counterfoil.context import Context, Contexts
from counterfoil.operations import OPERATIONS
from counterfoil.testing import consumers, http
from counterfoil.testing.http import Answered, Client
from event_store.consumers import parking
from event_store.transport import relay
from event_store.transport.following import FollowerMetrics
from event_store.transport.local_transport import LocalTransport
from projections import consumers as projecting
from projections.metrics import ProjectionMetrics
from projections.storing import Connection
from projections.view import View
from read_api import checkpoints
from read_api.checkpoints import covered
from read_api.errors import ViewUnavailable
from runtime import database
from runtime.settings import Settings

CARRIED_WITHIN_S: Final = 120.0
"""Within this time views have the log of a test."""

_FAILURES: Final = """
select format('%s failed on %s at %s: %s', consumer, type, position, reason) from consumers.parked
union all
select format('%s stopped: %s', view, stopped) from views.build where stopped is not null
"""


class QueryApi:
    """One query API on a log of its own."""

    def __init__(self, app: FastAPI, client: Client, url: str, *, views: Sequence[View[Any]]) -> None:
        self.app = app
        self.client = client
        self.url = url
        self._views = views

    async def record(self, *appended: Appended) -> None:
        """Have these events in the log, as commands would: (aggregate, id, event), in order."""
        await asyncio.to_thread(consumers.record, self.url, *appended)

    async def carried(self) -> None:
        """Carry every event of the log to the views, as relay and projections do.

        Raises:
            AssertionError: a fold failed; the text says on which event, and why.
        """
        await asyncio.to_thread(carry, self.url, self._views)
        await self.refresh()

    async def refresh(self) -> None:
        """Have the API learn at once where the views stand; it looks four times a second by itself."""
        await self.app.state.reads.poller.next_snapshot()

    async def get(
        self,
        path: str,
        *,
        params: Mapping[str, str | int | Sequence[str]] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answered:
        """Ask for what is at an address."""
        return Answered(await self.client.get(path, params=params, headers=headers))


@contextlib.asynccontextmanager
async def opened(database_url: str, *contexts: Context, **settings: str | None) -> AsyncIterator[QueryApi]:
    """A query API that serves these contexts from their views, with further settings.

    Until `carried` was called for the first time there are no views, and every read is 503.
    """
    given: dict[str, Any] = {
        "database_url": SecretStr(database_url),
        **settings,
    }  # texts, as the environment has them
    with_views = Settings(database_pool_size=http.CONNECTIONS, **given)
    served = Contexts(*contexts, OPERATIONS)
    app = applications.query_app(with_views, contexts=served)
    async with http.serving(app) as client:
        api = QueryApi(app, client, database_url, views=served.views)
        with contextlib.suppress(ViewUnavailable):
            await api.refresh()
        yield api


def carry(database_url: str, views: Sequence[View[Any]]) -> None:
    """Feed views until they have every event of the log.

    Raises:
        AssertionError: a fold failed; the text says on which event, and why.
    """
    registry = CollectorRegistry()
    hosted = [
        relay.consumer(LocalTransport(database_url, role="counterfoil_relay"), registry=registry),
        *projecting.consumers(
            views,
            transport=LocalTransport(database_url),
            metrics=ProjectionMetrics(registry),
            followed=FollowerMetrics(registry),
        ),
    ]
    give_up_s = time.monotonic() + CARRIED_WITHIN_S
    with (
        contextlib.ExitStack() as stack,
        database.connect(database_url, role="counterfoil_projector", name="test") as conn,
    ):
        working = [stack.enter_context(consumers.hosting(database_url, each)) for each in hosted]
        while not _is_carried(conn, views):
            assert time.monotonic() < give_up_s, f"the views did not get there in {CARRIED_WITHIN_S} s"
            for each in working:
                each.round()


def _is_carried(conn: Connection, views: Sequence[View[Any]]) -> bool:
    """Whether all views have all of the log, without an event that a fold failed on."""
    failures = conn.execute(_FAILURES).fetchall()
    assert not failures, "; ".join(str(text) for (text,) in failures)
    found = conn.execute(checkpoints.SNAPSHOT, {"parked_max": parking.KEYS_SHOWN_MAX}).fetchone()
    assert found is not None, "log.head always has its one row"
    snapshot = checkpoints.read_snapshot(str(found[0]), seen_at=0.0)
    return all(
        (build := snapshot.builds.get(view.name)) is not None
        and snapshot.position
        <= covered(build.checkpoints, snapshot.published.get(build.checkpoints.generation))
        for view in views
    )
