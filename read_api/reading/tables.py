"""Tables of builds as the catalogue describes them.

So a build of another shape (of a release not yet made, or of one being rolled back) is read as well as the one that
this program was released with.
"""

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from msgspec import Struct

from projections.storing import BuildId
from read_api.connections import AsyncConnection
from read_api.errors import BuildGone
from read_api.reading.resource import RowDict

TABLES_KEPT_MAX: Final = 4
"""Descriptions kept per view: the live build's and those of builds that were live a moment ago."""

COLUMNS: Final = """
select attribute.attname, attribute.atttypid = 'json'::regtype
from pg_catalog.pg_attribute attribute
where attribute.attrelid = pg_catalog.to_regclass(%s) and attribute.attnum > 0 and not attribute.attisdropped
order by attribute.attnum
"""

_NOT_SHOWN: Final = frozenset({"position", "deleted"})


class Table(Struct, frozen=True):
    """The table of a build: the columns that are shown, and the places of those that hold nested values as JSON."""

    build: BuildId
    columns: tuple[str, ...]
    nested: tuple[int, ...]

    @property
    def name(self) -> str:
        """As `to_regclass` takes it."""
        return name_of(self.build)

    def row(self, values: list[Any]) -> RowDict:
        """A row that holds just these columns, nested values as the JSON that they are."""
        for index in self.nested:
            if values[index] is not None:
                values[index] = msgspec.Raw(values[index].encode())
        return dict(zip(self.columns, values, strict=True))


def name_of(build: BuildId) -> str:
    """The name of a build's table as `to_regclass` takes it."""
    return f"views.{build.table}"


def described(build: BuildId, columns: Iterable[tuple[Any, ...]]) -> Table:
    """The table of a build from what `COLUMNS` answers.

    Raises:
        BuildGone: there is no such table any longer.
    """
    shown = [(str(name), bool(nested)) for name, nested in columns if name not in _NOT_SHOWN]
    if not shown:
        raise BuildGone(f"{build} has no table")
    return Table(
        build,
        columns=tuple(name for name, _ in shown),
        nested=tuple(index for index, (_, nested) in enumerate(shown) if nested),
    )


async def describe(connection: AsyncConnection, build: BuildId) -> Table:
    """Ask for the table of a build.

    Raises:
        BuildGone: there is no such table any longer.
    """
    cursor = await connection.execute(COLUMNS, [name_of(build)])
    return described(build, await cursor.fetchall())
