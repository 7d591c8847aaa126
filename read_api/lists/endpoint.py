"""GET of a list: one page, the rows of some ids, or the whole of it in another media type."""

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, Final

import msgspec
from psycopg import sql
from starlette.responses import Response

from projections.storing import BuildId
from read_api import answers, by_id, parameters
from read_api.audit.past import Past
from read_api.checkpoints import Checkpoints, CheckpointSnapshot
from read_api.connections import AsyncConnection
from read_api.freshness import MIN_POSITION, Wish
from read_api.lists import downloads, pinning, requests, statements
from read_api.lists.declaring import OWNER, ListOf
from read_api.lists.downloads import CSV, NDJSON, Export, Rows
from read_api.lists.requests import Asked, ByIds, Page, Pin, Whole
from read_api.parameters import CURSOR
from read_api.reading import tables
from read_api.reading.resource import RowDict
from read_api.reading.tables import TABLES_KEPT_MAX, Table
from read_api.reads import Reads, live, snapshot_on
from runtime import problems
from runtime.http import accept, api_version
from runtime.http.exchange import Exchange
from runtime.http.principal import confined_to
from runtime.http.routes import ExchangeRoute
from runtime.pagination import next_link
from runtime.problems import Fault, ProblemError

JSON: Final = "application/json"
MEDIA_TYPES: Final = (JSON, NDJSON, CSV)
PINNED_POSITION: Final = "Pinned-Position"

QUERY_RECORDED_MAX: Final = 500
"""Characters of a query that a security stream keeps."""

_encode = msgspec.json.Encoder().encode


class ListRoute(ExchangeRoute):
    """An exchange whose answer may come in pieces."""

    whole = False


class ListEndpoint:
    """Answers for one list."""

    def __init__(self, listed: ListOf, *, reads: Reads, past: Past) -> None:
        """Serve `listed`; what has to be folded back is, by `past`."""
        self._listed = listed
        self._views = (listed.view.name,)
        self._reads = reads
        self._past = past
        self._reveal = reads.reveal(listed.view)
        self._tables: dict[BuildId, Table] = {}
        self.requires = listed.requires

    async def __call__(self) -> Response:
        """Only declares that it can be called; requests come to `answer`."""
        raise AssertionError("the pipeline calls `answer`")

    async def answer(self, exchange: Exchange) -> Response:
        """Answer one request."""
        media_type = accept.preferred(exchange.headers, MEDIA_TYPES)
        if media_type is None:
            detail = f"The media types of this list are {', '.join(MEDIA_TYPES)}"
            raise problems.of_fault("not-acceptable", Fault(detail=detail, header="Accept"))
        asked = requests.read(
            self._listed,
            exchange.scope["query_string"],
            whole=media_type != JSON,
            only_of=confined_to(exchange.principal, self.requires),
        )
        wish = by_id.asked(exchange.headers).wish
        if isinstance(asked, Page) and asked.pin is not None and wish.token is not None:
            detail = f"A pinned list stays where it is: {MIN_POSITION} belongs to its first page"
            raise parameters.invalid([Fault(detail=detail, header=MIN_POSITION)])
        pinned = isinstance(asked, Page) and asked.pinned
        wish = await self._reads.admission.admit(wish, views=self._views, at_one_position=pinned)
        response = await self._answer(exchange, asked, wish, media_type)
        response.headers["Vary"] = "Accept"
        if self._reveal.hides:
            response.headers["Cache-Control"] = "no-store"
        return response

    async def _answer(self, exchange: Exchange, asked: Asked, wish: Wish, media_type: str) -> Response:
        match asked:
            case ByIds():
                return await self._by_ids(exchange, asked, wish)
            case Whole():
                exchange.closing = AsyncExitStack()
                response = await self._export(exchange, exchange.closing, asked, wish, media_type)
                await exchange.pipeline.record(exchange, "exported", _query_of(exchange))
                return response
            case Page():
                return await self._page(exchange, asked, wish)

    async def _by_ids(self, exchange: Exchange, asked: ByIds, wish: Wish) -> Response:
        (key,) = self._listed.view.key

        async def read(connection: AsyncConnection, snapshot: CheckpointSnapshot) -> list[RowDict]:
            table = await self._table(connection, snapshot)
            filters = requests.own_filters(self._listed, asked.only_of)
            statement = statements.select_by_ids(table, key, filters=filters)
            return await _rows(connection, table, statement, {"ids": list(asked.ids), OWNER: asked.only_of})

        snapshot, rows = await self._reads.snapshot(read)
        found = {row[key]: row for row in await self._revealed(exchange, rows)}
        body = {
            "items": [found[each] for each in asked.ids if each in found],
            "next_cursor": None,
            "missing": [each for each in asked.ids if each not in found],
        }
        return _json(body, answers.fresh_headers(snapshot, views=self._views, wish=wish))

    async def _page(self, exchange: Exchange, asked: Page, wish: Wish) -> Response:
        if not asked.pinned:
            snapshot, rows = await self._reads.snapshot(partial(self._read_page, asked=asked))
            return await self._shown(exchange, asked, rows, pin=None, headers=self._fresh(snapshot, wish))
        if self._listed.folds_back:
            pinned = await self._past.read(partial(pinning.folded_back, listed=self._listed, asked=asked))
        else:
            _, pinned = await self._reads.snapshot(partial(self._read_unmoved, asked=asked))
        checkpoints = pinning.checkpoints_of(pinned)
        headers = self._fresh(pinned.snapshot, wish, checkpoints)
        headers[PINNED_POSITION] = str(pinned.pin.position)
        return await self._shown(exchange, asked, pinned.rows, pin=pinned.pin, headers=headers)

    async def _read_page(
        self, connection: AsyncConnection, snapshot: CheckpointSnapshot, *, asked: Page
    ) -> list[RowDict]:
        table = await self._table(connection, snapshot)
        question = asked.question
        statement = statements.select_page(
            table,
            question.filters(self._listed),
            question.sort,
            falling=question.falling,
            after=asked.after is not None,
        )
        return await _rows(connection, table, statement, _given(asked))

    async def _read_unmoved(
        self, connection: AsyncConnection, snapshot: CheckpointSnapshot, *, asked: Page
    ) -> pinning.Pinned:
        """A page of rows that cannot be folded back, if none of them has changed."""
        pin = pinning.pin_of(asked, live(snapshot, self._listed.view.name), snapshot)
        rows = await self._read_page(connection, snapshot, asked=asked)
        if asked.pin is not None:
            await self._refuse_moved(connection, snapshot, asked, rows, pin)
        return pinning.Pinned(snapshot, pin, rows)

    async def _refuse_moved(
        self,
        connection: AsyncConnection,
        snapshot: CheckpointSnapshot,
        asked: Page,
        rows: Sequence[RowDict],
        pin: Pin,
    ) -> None:
        sort = asked.question.sort
        ends = len(rows) > asked.limit
        statement = statements.select_moved(
            await self._table(connection, snapshot),
            asked.question.filters(self._listed),
            sort,
            falling=asked.question.falling,
            after=asked.after is not None,
            upto=ends,
        )
        # What comes behind the last row shown is the next page's to judge.
        last_shown = requests.place_of(rows[asked.limit - 1], sort) if ends else ()
        last = statements.place(statements.LAST, sort, last_shown) if ends else {}
        given = {**_given(asked), **last, "pin": pin.position}
        row = await (await connection.execute(statement, given)).fetchone()
        if row is not None and row[0]:
            detail = f"Rows of this page have changed since position {pin.position}, and sums cannot be taken back."
            raise ProblemError("pin-expired", detail, pinned=pin.position)

    async def _export(
        self, exchange: Exchange, closing: AsyncExitStack, asked: Whole, wish: Wish, media_type: str
    ) -> Response:
        held = await closing.enter_async_context(self._reads.exports.snapshot())
        snapshot = await held.run(snapshot_on)
        table = await held.run(partial(self._table, snapshot=snapshot))
        question = asked.question
        filters = question.filters(self._listed)
        statement = statements.select_whole(table, filters, question.sort, falling=question.falling)
        headers = self._fresh(snapshot, wish)
        rows = await downloads.read(held, table, statement, question.values)
        if self._reveal.hides:
            own = confined_to(exchange.principal, self.requires) is not None
            await self._reveal.record(exchange, own=own, detail=_query_of(exchange))
            rows = self._revealing(exchange, rows)
        return Export(rows, table, media_type=media_type, headers=headers, name=self._listed.name)

    def _fresh(
        self, snapshot: CheckpointSnapshot, wish: Wish, pinned: Checkpoints | None = None
    ) -> dict[str, str]:
        build = live(snapshot, self._listed.view.name)
        checkpoints = build.checkpoints if pinned is None else pinned
        return answers.headers_of([checkpoints], snapshot, wish=wish, parked=build.parked_count)

    async def _shown(
        self,
        exchange: Exchange,
        asked: Page,
        rows: Sequence[RowDict],
        *,
        pin: Pin | None,
        headers: dict[str, str],
    ) -> Response:
        cursor = None
        if len(rows) > asked.limit:
            rows = rows[: asked.limit]
            cursor = asked.cursor(rows[-1], pin)
            query = requests.pairs(exchange.scope["query_string"])
            headers["Link"] = next_link(
                api_version.PREFIX + self._listed.path, query, cursor=cursor, parameter=CURSOR
            )
        return _json({"items": await self._revealed(exchange, rows), "next_cursor": cursor}, headers)

    async def _revealed(self, exchange: Exchange, rows: Sequence[RowDict]) -> Sequence[RowDict]:
        own = confined_to(exchange.principal, self.requires) is not None
        return await self._reveal.rows(exchange, rows, own=own, detail=_query_of(exchange))

    async def _revealing(self, exchange: Exchange, rows: Rows) -> Rows:
        """The chunks of an export, revealed one after another, which is one event."""
        own = confined_to(exchange.principal, self.requires) is not None
        async for chunk in rows:
            yield await self._reveal.shown(exchange, chunk, own=own)

    async def _table(self, connection: AsyncConnection, snapshot: CheckpointSnapshot) -> Table:
        build = live(snapshot, self._listed.view.name).id
        table = self._tables.get(build)
        if table is None:
            table = await tables.describe(connection, build)
            if len(self._tables) >= TABLES_KEPT_MAX:
                self._tables.clear()
            self._tables[build] = table
        return table


def _query_of(exchange: Exchange) -> str:
    """What was asked, as a security stream keeps it."""
    query: bytes = exchange.scope["query_string"]
    return query.decode("ascii", "replace")[:QUERY_RECORDED_MAX]


def _given(asked: Page) -> dict[str, object]:
    """The parameters of a page's statement."""
    place = statements.place(statements.AFTER, asked.question.sort, asked.after) if asked.after else {}
    return {**asked.question.values, **place, "limit": asked.limit + 1}


async def _rows(
    connection: AsyncConnection, table: Table, statement: sql.Composed, given: Mapping[str, object]
) -> list[RowDict]:
    # Never prepared: a plan that is kept knows no values, and would look for the few rows of a rare one among all.
    async with connection.cursor(binary=True) as cursor:
        await cursor.execute(statement, given, prepare=False)
        return [table.row(list(values)) for values in await cursor.fetchall()]


def _json(body: Mapping[str, Any], headers: Mapping[str, str]) -> Response:
    return Response(_encode(body), media_type=JSON, headers=headers)
