"""The limit of single-row commits: Postgres' own load program, inserting the least an event store must write."""

import re
import subprocess
from pathlib import Path
from typing import Final

import psycopg

from benchmarks.laboratory import Laboratory
from benchmarks.shop_events import Shape

CLIENTS: Final = 16
THREADS: Final = 2
NAME: Final = f"pgbench, {CLIENTS} clients"
ABSENT: Final = "absent: no pgbench on this machine"
START_S_MAX: Final = 60.0

_TABLE: Final = """
create table limit_event (
    position bigserial primary key,
    stream text not null,
    version bigint not null,
    type text not null,
    payload json not null,
    metadata json not null,
    recorded_at timestamptz not null default clock_timestamp(),
    unique (stream, version)
)
"""
_SCRIPT: Final = """
insert into limit_event (stream, version, type, payload, metadata)
values ('stock-' || gen_random_uuid(), 1, '{type}', '{payload}', '{metadata}');
"""
_VARIABLE: Final = re.compile(r":[A-Za-z_]")
_TPS: Final = re.compile(r"^tps = ([0-9.]+)", re.MULTILINE)


def rate(laboratory: Laboratory, *, disk: str, shape: Shape) -> float | None:
    """Inserts a second, each its own transaction, with the bytes of one event; None without pgbench."""
    program = laboratory.program("pgbench")
    if program is None:
        return None
    with laboratory.database(disk, migrated=False) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(_TABLE)
        script = laboratory.directory / "limit.sql"
        text = _SCRIPT.format(
            type=shape.type, payload=shape.payload.decode(), metadata=shape.metadata.decode()
        )
        assert not _VARIABLE.search(text), "pgbench would take this for a variable"
        script.write_text(text)
        return _run(program, script, url, seconds=laboratory.size.seconds)


def _run(program: Path, script: Path, url: str, *, seconds: float) -> float:
    given = psycopg.conninfo.conninfo_to_dict(url)
    done = subprocess.run(
        [
            *(str(program), "--no-vacuum", "--protocol=prepared", f"--file={script}"),
            *(f"--client={CLIENTS}", f"--jobs={THREADS}", f"--time={max(1, round(seconds))}"),
            *("--host", str(given["host"]), "--port", str(given["port"]), "--username", str(given["user"])),
            str(given["dbname"]),
        ],
        env={"PGPASSWORD": str(given["password"])},
        capture_output=True,
        check=True,
        text=True,
        timeout=seconds + START_S_MAX,
    )
    found = _TPS.search(done.stdout)
    assert found is not None, done.stdout
    return float(found[1])
