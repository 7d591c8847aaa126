"""Makes the dump of this version: `python -m tests.upgrade.dumping`.

The program is run as its users run it, with `up`, and with a simulated world around it; commands are sent over HTTP,
and what is answered and shown is kept next to the dump, with the secrets of the installation. Done once at each
release: what is in `dumps` is never made again.
"""

import base64
import contextlib
import gzip
import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from devservers import postgres
from runtime.version import version
from tests.upgrade import parties
from tests.upgrade.history import (
    carts,
    catalogue,
    customers,
    identity,
    mails,
    operators,
    parcels,
    payments,
    pricing,
    security,
    stock,
    trade,
)
from tests.upgrade.installation import Installation
from tests.upgrade.kept import DUMPS

ROWS_PER_INSERT: Final = 200
SECRETS: Final = ("identity.key", "master.key")
"""Files of an installation that its later versions need."""

_LEFT_OUT: Final = ("\\restrict", "\\unrestrict", "SET transaction_timeout", "--")
"""Beginnings of lines that are for psql, for one version of Postgres, or for people."""


@contextlib.contextmanager
def lived(on: Installation) -> Iterator[None]:
    """Have everything happen that a dump holds; it runs while the block does, and nothing changes any more."""
    with on.up(identity="accounts"):
        identity.begin(on)
        for part in (catalogue, pricing, customers, identity, security):
            part.fill(on)
    on.token = None
    with on.up(**carts.SHORT):
        security.wait(on)
        carts.leave(on)
    with on.up():
        skipped_at = trade.fill(on)
        for part in (carts, payments, stock, parcels, mails):
            part.fill(on)
        operators.fill(on, skipped_at=skipped_at)
        trade.wait(on)
        yield


def _dumped(database_url: str) -> str:
    """A database as SQL that any client can run."""
    found = subprocess.run(
        [_pg_dump(), "--inserts", f"--rows-per-insert={ROWS_PER_INSERT}", "--dbname", database_url],
        capture_output=True,
        text=True,
        check=True,
    )
    return "".join(line for line in found.stdout.splitlines(keepends=True) if not line.startswith(_LEFT_OUT))


def _pg_dump() -> Path:
    """The client of the Postgres that `up` takes."""
    return next(each.path.with_name("pg_dump") for each in postgres.candidates() if each.path.exists())


def _timers(on: Installation) -> list[str]:
    """The streams of all timers that are set, in the order in which they are due."""
    return [timer["stream"] for timer in json.loads(on.run("timers", "list", "--json"))]


def main() -> None:
    """Make a dump."""
    with tempfile.TemporaryDirectory() as folder, parties.running(Path(folder)) as world:
        on = Installation(Path(folder), world)
        with lived(on):
            addresses = on.shop.state["addresses"]
            made = {
                "sql": _dumped(addresses["database_url"]),
                "keys.sql": _dumped(addresses["keys_database_url"]),
            }
            kept = {
                "exchanges": on.exchanges,
                "owner": identity.OWNER,
                "secrets": {
                    name: base64.b64encode((on.home / name).read_bytes()).decode() for name in SECRETS
                },
                "shown": on.shown(),
                "timers": _timers(on),
            }
    DUMPS.mkdir(exist_ok=True)
    for name, content in {**made, "json": json.dumps(kept, indent=1)}.items():
        path = DUMPS / f"{version()}.{name}.gz"
        path.write_bytes(gzip.compress(content.encode(), 9, mtime=0))
        print(f"{path.name}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
