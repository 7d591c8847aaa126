"""Rows by key from SQL: many keys in one statement, together with how far the build stood in that same snapshot."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import msgspec
from msgspec import Struct, structs
from psycopg import sql

from projections.storing import BuildId
from read_api.checkpoints import CheckpointRow, Checkpoints, checkpoints_of
from read_api.connections import AsyncConnection, Connections
from read_api.errors import BuildGone, ViewUnavailable
from read_api.polling import CheckpointPoller
from read_api.reading import tables
from read_api.reading.coalescing import Coalescer
from read_api.reading.resource import Found, Resource, RowDict
from read_api.reading.tables import TABLES_KEPT_MAX, Table

FLIGHTS_MAX: Final = 2
"""Statements of one view under way at once: while the server works on one, the answers of the other are sent."""

_encode = msgspec.json.Encoder().encode

# One row at least, since the checkpoints are joined to nothing: a key without a row is known to have none then.
_BY_KEY: Final = sql.SQL("""
select stood.said, t.position, t.deleted, {columns}
from (
    select json_build_object(
        'epoch', (select epoch from log.head),
        'checkpoints', (
            select coalesce(json_agg(json_build_array(c.generation, c.partition, c.position)), '[]')
            from views.checkpoint c where c.view = {view} and c.shape = {shape} and c.build = {build}
        ),
        'parked', (
            select coalesce(json_object_agg(p.partition_key, p.position), '{{}}')
            from consumers.parked p
            where p.consumer = {view} and p.shape = {shape} and p.build = {build}
                and p.partition_key = any(%(partition_keys)s)
        )
    )::text as said
) stood
left join {table} t on t.{key} = any(%(keys)s){narrowed}
""")
# What is somebody else's is no row here, however large it is: answering that takes as long as where there is none.
_OWN: Final = sql.SQL(" and t.{} = any(%(owners)s)")


class _Stood(Struct, frozen=True):
    epoch: int
    checkpoints: list[CheckpointRow]
    parked: dict[str, int]


class _Asked(Struct, frozen=True):
    """A table, and the statement that asks for its rows by key."""

    table: Table
    statement: bytes


_decode_stood = msgspec.json.Decoder(_Stood).decode


class RowsByKey:
    """Answers for single keys of one resource, asked in batches."""

    def __init__(self, resource: Resource, *, connections: Connections, poller: CheckpointPoller) -> None:
        """Read the build that `poller` says is live."""
        self._resource = resource
        self._connections = connections
        self._poller = poller
        self._asked: dict[tuple[BuildId, bool], _Asked] = {}
        self._coalescer: Coalescer[str, Found] = Coalescer(self._fetch, flights_max=FLIGHTS_MAX)
        self._own: Coalescer[tuple[str, str], Found] = Coalescer(self._fetch_own, flights_max=FLIGHTS_MAX)

    async def read(self, key: str) -> Found:
        """What the live build holds for a key now.

        Raises:
            ViewUnavailable: the database does not answer, or no build is live.
            TooManyReads: too many others wait.
        """
        return await self._coalescer.ask(key)

    async def read_own(self, key: str, owner: str) -> Found:
        """What the live build holds for a key now, if it is `owner`'s; else as if there never was anything.

        Raises:
            ViewUnavailable: the database does not answer, or no build is live.
            TooManyReads: too many others wait.
        """
        return await self._own.ask((key, owner))

    async def close(self) -> None:
        """Cancel those who wait."""
        await self._coalescer.close()
        await self._own.close()

    async def _fetch(self, keys: Sequence[str]) -> Mapping[str, Found]:
        return await self._of_live(partial(self._read_build, keys=keys))

    async def _fetch_own(self, asked: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], Found]:
        keys = list(dict.fromkeys(key for key, _ in asked))
        owners = list(dict.fromkeys(owner for _, owner in asked))
        found = await self._of_live(partial(self._read_build, keys=keys, owners=owners))
        return {(key, owner): self._if_own(found[key], owner) for key, owner in asked}

    def _if_own(self, found: Found, owner: str) -> Found:
        # Rows of all who ask come together, so one of them may be another's.
        if found.body is not None and self._resource.belongs_to(owner, found.body):
            return found
        return structs.replace(found, body=None, position=0, parked_at=None)

    async def _of_live(self, read: Callable[[BuildId], Awaitable[dict[str, Found]]]) -> dict[str, Found]:
        try:
            return await read(self._live())
        except BuildGone:
            await self._poller.next_snapshot()
            return await read(self._live())

    def _live(self) -> BuildId:
        build = self._poller.latest.builds.get(self._resource.view.name)
        if build is None:
            raise ViewUnavailable(f"no build of {self._resource.view.name} is live yet")
        return build.id

    async def read_on(
        self, connection: AsyncConnection, build: BuildId, keys: Sequence[str], *, owner: str | None = None
    ) -> dict[str, Found]:
        """What a build holds for these keys, in the snapshot that the connection is in; with `owner` what is theirs.

        Raises:
            BuildGone: the build is not there any longer.
        """
        if owner is None:
            return await self._rows_on(connection, build, keys)
        found = await self._rows_on(connection, build, keys, [owner])
        return {key: self._if_own(each, owner) for key, each in found.items()}

    async def _read_build(
        self, build: BuildId, keys: Sequence[str], owners: Sequence[str] | None = None
    ) -> dict[str, Found]:
        return await self._connections.run(lambda connection: self._rows_on(connection, build, keys, owners))

    async def _rows_on(
        self,
        connection: AsyncConnection,
        build: BuildId,
        keys: Sequence[str],
        owners: Sequence[str] | None = None,
    ) -> dict[str, Found]:
        partition_keys = [self._resource.partition_key(key) for key in keys]
        given = {"keys": list(keys), "partition_keys": [key for key in partition_keys if key is not None]}
        owned = owners is not None
        if owners is not None:
            given["owners"] = list(owners)
        asked = self._asked.get((build, owned)) or await self._ask(connection, build, owned=owned)
        async with connection.cursor(binary=True) as cursor:
            await cursor.execute(asked.statement, given)
            rows = await cursor.fetchall()
        stood = _decode_stood(rows[0][0])
        checkpoints = checkpoints_of(stood.checkpoints, epoch=stood.epoch)
        if checkpoints is None:
            raise BuildGone(f"{build} has no checkpoints")
        by_key = self._grouped(asked.table, rows)
        return {
            key: self._found(build, key, by_key.get(key, ()), stood=stood, checkpoints=checkpoints)
            for key in keys
        }

    def _grouped(
        self, table: Table, rows: list[tuple[Any, ...]]
    ) -> dict[str, list[tuple[int, bool, RowDict]]]:
        grouped: dict[str, list[tuple[int, bool, RowDict]]] = {}
        first_key = self._resource.view.key[0]
        for _, position, deleted, *values in rows:
            if position is None:
                continue  # the one row that says that there is none
            row = table.row(values)
            grouped.setdefault(row[first_key], []).append((position, deleted, row))
        return grouped

    def _found(
        self,
        build: BuildId,
        key: str,
        rows: Sequence[tuple[int, bool, RowDict]],
        *,
        stood: _Stood,
        checkpoints: Checkpoints,
    ) -> Found:
        shown = [row for _, deleted, row in rows if not deleted]
        return Found(
            build=build,
            body=_encode(self._resource.render(key, shown)) if shown else None,
            position=max((position for position, _, _ in rows), default=0),
            checkpoints=checkpoints,
            parked_at=stood.parked.get(self._resource.partition_key(key) or ""),
        )

    async def _ask(self, connection: AsyncConnection, build: BuildId, *, owned: bool) -> _Asked:
        table = await tables.describe(connection, build)
        if len(self._asked) >= TABLES_KEPT_MAX:
            self._asked.clear()
        owner = self._resource.owner if owned else None
        statement = _by_key(table, key=self._resource.view.key[0], owner=owner).as_bytes(connection)
        self._asked[build, owned] = asked = _Asked(table=table, statement=statement)
        return asked


def _by_key(table: Table, *, key: str, owner: str | None = None) -> sql.Composed:
    build = table.build
    selected = [
        sql.SQL("{}::text" if index in table.nested else "{}").format(sql.Identifier("t", name))
        for index, name in enumerate(table.columns)
    ]
    return _BY_KEY.format(
        columns=sql.SQL(", ").join(selected),
        view=sql.Literal(build.view),
        shape=sql.Literal(build.shape),
        build=sql.Literal(build.build),
        table=sql.Identifier("views", build.table),
        key=sql.Identifier(key),
        narrowed=sql.SQL("") if owner is None else _OWN.format(sql.Identifier(owner)),
    )
