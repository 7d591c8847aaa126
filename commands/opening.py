"""What decides and appends on one log, opened together: a reader, the states it keeps, the watch, a writer."""

import contextlib
from collections.abc import AsyncIterator

from msgspec import Struct
from prometheus_client import CollectorRegistry

from commands.execution import Execution
from commands.log_reading import LogReader
from commands.states import States
from commands.watching import Watch
from runtime import database
from runtime.database import Role


class Opened(Struct, frozen=True):
    """One writer on one log, and what its decisions are made on."""

    reader: LogReader
    states: States
    watch: Watch
    execution: Execution


@contextlib.asynccontextmanager
async def opened(
    url: str, *, role: Role, name: str, readers: int, registry: CollectorRegistry | None = None
) -> AsyncIterator[Opened]:
    """Open all of it; at the end what was taken is finished.

    Args:
        url: the log's database.
        role: of the sessions that read.
        name: of the sessions: `<name> reader` and `<name> writer`.
        readers: connections for reading.
        registry: where conflicts are counted.

    Raises:
        LogUnreachable, StoreUnavailable: the log cannot be reached.
    """
    async with database.pool(url, role=role, name=f"{name} reader", size=readers) as pool:
        reader = LogReader(pool)
        states = States(reader)
        watch = Watch(reader, standing=await reader.standing(), on_new_epoch=states.drop_all)
        writing = Execution.open(
            url, name=f"{name} writer", reader=reader, states=states, watch=watch, registry=registry
        )
        async with writing as execution:
            yield Opened(reader, states, watch, execution)
