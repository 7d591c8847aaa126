"""Makes the dump of a version: `python -m tests.upgrade.dumping`, of this one; `--program` names another's command.

The program is run as its users run it, with `up` and a simulated carrier; commands are sent over HTTP, and what is
answered and shown is kept next to the dump. Done once at each release: what is in `dumps` is never made again.
"""

import argparse
import contextlib
import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import httpx

from devservers import postgres
from tests.acceptance.running import Up, environment
from tests.upgrade import history
from tests.upgrade.history import Sent

DUMPS: Final = Path(__file__).parent / "dumps"
SETTLED_WITHIN_S: Final = 240.0
ROWS_PER_INSERT: Final = 200

KEPT: Final = ("etag", "position", "content-type", "location")
"""Headers of an answer that the same key brings again."""
LEFT_OUT: Final = ("\\restrict", "\\unrestrict", "SET transaction_timeout", "--")
"""Beginnings of lines that are for psql, for one version of Postgres, or for people."""


class Installation:
    """One that runs, and all that was said to it."""

    def __init__(self, shop: Up, program: Path) -> None:
        self.shop = shop
        self.exchanges: list[dict[str, Any]] = []
        self._program = program

    def send(self, sent: Sent) -> int:
        """Send one command and keep what is answered; its position, 0 if it was refused."""
        answer = self._post(sent)
        assert answer.status_code == sent.status, f"{sent.key}: {answer.text}"
        self._keep(sent.path, sent.body, answer, key=sent.key)
        return int(answer.json().get("position", 0))

    def settle(self, sent: Sent) -> None:
        """Wait until every process manager has decided about a command that was sent."""
        self._post(sent, Prefer="wait=10, until=settled")

    def send_batch(self) -> None:
        """Send a batch, of which one command is refused."""
        answer = httpx.post(self.shop.url("command_api", "/v1/commands"), json=history.BATCH, timeout=120)
        self._keep("/v1/commands", history.BATCH, answer)

    def shown(self) -> dict[str, Any]:
        """What the query API shows."""
        return {path: self._asked(path) for path in history.READS}

    def run(self, *arguments: str) -> None:
        """Run a command of an operator."""
        subprocess.run([self._program, *arguments], env=environment(self.shop.home), check=True)

    def wait_for(self, path: str, condition: Callable[[Any], bool]) -> None:
        """Wait until the query API shows something."""
        give_up_s = time.monotonic() + SETTLED_WITHIN_S
        while not condition(found := self._asked(path)):
            assert time.monotonic() < give_up_s, f"{path} still shows {found}"
            time.sleep(0.1)

    def _post(self, sent: Sent, **headers: str) -> httpx.Response:
        url = self.shop.url("command_api", sent.path)
        return httpx.post(url, json=sent.body, headers={"Idempotency-Key": sent.key, **headers}, timeout=120)

    def _asked(self, path: str) -> Any:
        return httpx.get(self.shop.url("query_api", path), timeout=120).json()

    def _keep(self, path: str, body: object, answer: httpx.Response, *, key: str | None = None) -> None:
        headers = {name: answer.headers[name] for name in KEPT if name in answer.headers}
        self.exchanges.append(
            {"path": path, "key": key, "body": body, "status": answer.status_code}
            | {"headers": headers, "answer": answer.text}
        )


def trade(on: Installation) -> None:
    """Have everything happen that a dump holds."""
    positions = {sent.key: on.send(sent) for sent in history.opening()}
    on.send_batch()
    for sent in (*history.orders(), *history.afterwards()):
        on.send(sent)
        on.settle(sent)
    for number in range(history.ORDERS):
        if number % 7 != 6 and number % 3 != 2:
            on.wait_for(
                f"/v1/shipments/order-{number}", lambda found: found.get("status") in {"labelled", "refused"}
            )
    on.wait_for("/v1/views", lambda found: all(view["lag_events"] == 0 for view in found))
    position = positions[f"{history.SKIPPED_NOTE}-2"]
    on.run(
        "parked", "skip", "notes", f"note-{history.SKIPPED_NOTE}", str(position), "--reason", "for the dump"
    )
    os.kill(on.shop.processes["processes"], signal.SIGSTOP)
    on.send(history.waiting())
    on.wait_for(f"/v1/orders/{history.WAITING_ORDER}", lambda found: found.get("status") == "placed")
    on.wait_for("/v1/views", lambda found: all(view["lag_events"] == 0 for view in found))


@contextlib.contextmanager
def running(program: Path, folder: Path) -> Iterator[Installation]:
    """An installation with a context from outside, and a carrier that refuses some labels."""
    shutil.copy(Path(__file__).with_name("notes.py"), folder)
    home = folder / "home"
    arguments = ["--ledger", str(folder / "ledger"), "--faults", "refuse=0.3", "--seed", "7"]
    with subprocess.Popen(
        [program, "simulate", "carrier", *arguments], stdout=subprocess.PIPE, env=environment(home)
    ) as carrier:
        assert carrier.stdout is not None
        url = json.loads(carrier.stdout.readline())["url"]
        shop = Up(
            home,
            program=program,
            cwd=folder,
            COUNTERFOIL_CONTEXTS="shop,notes:NOTES",
            COUNTERFOIL_CARRIER_URL=url,
            COUNTERFOIL_QUERY_API_URL="http://queries.example",
        )
        try:
            yield Installation(shop, program)
        finally:
            os.kill(shop.processes["processes"], signal.SIGCONT)
            shop.stop()
            carrier.terminate()


def dumped(database_url: str) -> str:
    """The database as SQL that any client can run."""
    found = subprocess.run(
        [_pg_dump(), "--inserts", f"--rows-per-insert={ROWS_PER_INSERT}", "--dbname", database_url],
        capture_output=True,
        text=True,
        check=True,
    )
    return "".join(line for line in found.stdout.splitlines(keepends=True) if not line.startswith(LEFT_OUT))


def _pg_dump() -> Path:
    """The client of the Postgres that `up` takes."""
    return next(each.path.with_name("pg_dump") for each in postgres.candidates() if each.path.exists())


def main() -> None:
    """Make a dump."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--program", type=Path, default=Path(sys.executable).with_name("counterfoil"))
    program = parser.parse_args().program
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    version = said.split()[-1]
    with tempfile.TemporaryDirectory() as folder, running(program, Path(folder)) as installation:
        trade(installation)
        shown = installation.shown()
        text = dumped(installation.shop.state["addresses"]["database_url"])
    kept = {"exchanges": installation.exchanges, "shown": shown}
    DUMPS.mkdir(exist_ok=True)
    for name, content in ((f"{version}.sql.gz", text), (f"{version}.json.gz", json.dumps(kept, indent=1))):
        (DUMPS / name).write_bytes(gzip.compress(content.encode(), 9, mtime=0))
        print(f"{name}: {(DUMPS / name).stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
