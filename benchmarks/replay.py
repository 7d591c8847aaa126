"""How many events a second does a replay of the whole log read, in order and decoded, in one process?

The limit is psql with COPY of the same columns to nowhere. The peer decodes its notifications with its own mapper.
"""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from psycopg import conninfo

from benchmarks import library, shop_events
from benchmarks.laboratory import Laboratory
from benchmarks.measuring import alternating
from benchmarks.table import Goal, Row
from event_store.log import codec, reading
from runtime import database

NAME: Final = "replay"
EVENTS: Final = 300_000
LIBRARY_EVENTS: Final = 50_000
COPY_S_MAX: Final = 300.0
GOALS: Final = (Goal("ours", at_least=150_000), Goal("ratio_to_limit", at_least=0.7))

_COPY: Final = (
    "copy (select position, stream, version, type, payload, metadata, recorded_at, leaf, partition_key"
    " from log.event order by position) to stdout"
)


def rows(laboratory: Laboratory) -> Iterator[Row]:
    """One row."""
    count = laboratory.size.count(EVENTS, tiny=3_000)
    peer_count = laboratory.size.count(LIBRARY_EVENTS, tiny=500)
    psql = laboratory.program("psql")
    with laboratory.database() as url, laboratory.database(migrated=False) as peer_url:
        events = shop_events.fill(url, shop_events.history(count))
        library.fill_stock(peer_url, events=peer_count)
        contestants = {
            "ours": lambda: replayed(url, events=events),
            "peer": lambda: library.replay_rate(peer_url),
        }
        if psql is not None:
            program = psql
            contestants["limit"] = lambda: _copied(program, url, events=events)
        found = alternating(contestants, rounds=laboratory.size.rounds)
    yield Row(
        name=NAME,
        case="whole log, ordered, decoded, one process",
        unit="events/s",
        ours=found["ours"],
        limit=found.get("limit"),
        limit_name="psql, COPY of the same columns" if psql else "absent: no psql on this machine",
        peer=found["peer"],
        peer_name=f"{library.NAME}, movements of stock only",
        goals=GOALS,
    )


def replayed(url: str, *, events: int) -> float:
    """Events a second that one process reads in order and decodes."""
    with database.connect(url, role="counterfoil_reader", name="benchmark") as connection:
        began, seen = time.perf_counter(), 0
        for event in reading.copy_log(connection):
            codec.decode(event.type, event.payload)
            seen += 1
        assert seen == events
        return seen / (time.perf_counter() - began)


def _copied(psql: Path, url: str, *, events: int) -> float:
    given = conninfo.conninfo_to_dict(url)
    address = conninfo.make_conninfo(url, password=None)
    began = time.perf_counter()
    subprocess.run(
        [str(psql), "--no-psqlrc", "--quiet", "--dbname", address, "--command", _COPY],
        env={"PGPASSWORD": str(given["password"])},
        stdout=subprocess.DEVNULL,
        check=True,
        timeout=COPY_S_MAX,
    )
    return events / (time.perf_counter() - began)
