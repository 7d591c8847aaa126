"""The command API as real processes, started as an operator starts them."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Mapping
from typing import Final

import httpx

from devservers import child
from tests import forking

START_TIMEOUT_S: Final = 240.0
EXIT_TIMEOUT_S: Final = 60.0


class Process:
    """One running command API."""

    def __init__(self, port: int, child: forking.Forked) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.child = child

    async def terminate(self) -> int:
        """Ask it to end as a process manager does; its exit code."""
        self.child.terminate()
        return await asyncio.to_thread(self.child.wait, EXIT_TIMEOUT_S)


@contextlib.asynccontextmanager
async def serving(
    database_url: str, *, role: str = "command-api", given: Mapping[str, str] | None = None
) -> AsyncIterator[Process]:
    """Start one, or the query API, and wait until it is ready; whatever is left of it is killed at the end.

    `given` are settings, as variables of the environment.
    """
    port = child.free_port()
    settings = {
        "COUNTERFOIL_DATABASE_URL": database_url,
        f"COUNTERFOIL_{role.upper().replace('-', '_')}_PORT": str(port),
        **(given or {}),
    }
    started = await asyncio.to_thread(
        forking.popen, [sys.executable, "-m", "counterfoil", role], env={**os.environ, **settings}
    )
    try:
        process = Process(port, started)
        await _ready(process)
        yield process
    finally:
        started.kill()
        await asyncio.to_thread(started.wait)


async def _ready(process: Process) -> None:
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client, asyncio.timeout(START_TIMEOUT_S):
        while process.child.poll() is None:
            with contextlib.suppress(httpx.TransportError):
                if (await client.get(f"{process.url}/readyz")).status_code == 200:
                    return
            await asyncio.sleep(0.1)
    raise AssertionError("the API ended before it was ready")
