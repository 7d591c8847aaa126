"""The peer UmaDB: its server in a process of its own, its client in as many threads as there are callers."""

import contextlib
import importlib.metadata
import importlib.util
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from benchmarks.laboratory import Laboratory
from benchmarks.shop_events import Shape
from devservers import child

READY_S_MAX: Final = 20.0
READY_POLL_S: Final = 0.05
ABSENT: Final = "absent: UmaDB has no wheel for this machine"

INSTALLED: Final = importlib.util.find_spec("umadb") is not None
NAME: Final = f"UmaDB {importlib.metadata.version('umadb')}" if INSTALLED else ABSENT


@contextlib.contextmanager
def server(laboratory: Laboratory, *, disk: str) -> Iterator[str | None]:
    """A server with an empty store: its address, None where there is no UmaDB."""
    if not INSTALLED:
        yield None
        return
    port = child.free_port()
    script = Path(sys.executable).with_name("umadb")
    folder = laboratory.directory / f"umadb-{port}"
    folder.mkdir()
    with laboratory.on(disk):
        process = laboratory.launched(
            [script, "--listen", f"127.0.0.1:{port}", "--db-path", str(folder / "uma.db")], name="umadb"
        )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_for(url)
        yield url
    finally:
        process.kill()


def append_rate(url: str, *, callers: int, seconds: float, shape: Shape) -> float:
    """Events a second that so many threads append, one a call, each with a tag of its own."""
    import umadb

    data = shape.payload
    with contextlib.closing(umadb.Client(url=url)) as client, ThreadPoolExecutor(callers) as pool:
        end = time.perf_counter() + seconds

        def call(_: int) -> int:
            done = 0
            while time.perf_counter() < end:
                client.append([umadb.Event(event_type=shape.type, data=data, tags=[secrets.token_hex(8)])])
                done += 1
            return done

        return sum(pool.map(call, range(callers))) / seconds


def _wait_for(url: str) -> None:
    import umadb

    give_up = time.monotonic() + READY_S_MAX
    while not _answers(umadb.Client, url):
        assert time.monotonic() < give_up, f"UmaDB did not answer within {READY_S_MAX:.0f} s"
        time.sleep(READY_POLL_S)


def _answers(connect: Callable[..., Any], url: str) -> bool:
    try:
        with connect(url=url) as client:
            client.head()
    except Exception:  # noqa: BLE001 - whatever it raises while nobody listens
        return False
    return True
