"""How many orders of 25 stocked lines do the policies decide in a second, and what does one hot code in each cost?

`python -m benchmarks.policies [ORDERS]` starts a Postgres of its own with the product's settings and prints, for
cold codes (drawn from 4,000) and with one code in every order: orders and stock events a second, and milliseconds
of processor time that the worker and its Postgres session spend on an order. The latter hold on a busy machine too.
"""

import random
import sys
import tempfile
import time
from pathlib import Path

import psutil
import psycopg

from counterfoil import migrating
from counterfoil.servers.postgres import PostgresServer, start_postgres
from tests.commands.policies.running import append, placed, received, running

ORDERS = 4_000
CODES = 4_000
LINES = 25
ROUNDS = 2
PIECES = 10_000_000


def main() -> None:
    orders = int(sys.argv[1]) if len(sys.argv) > 1 else ORDERS
    rates: dict[str, list[float]] = {"cold": [], "hot": []}
    with (
        tempfile.TemporaryDirectory(prefix="counterfoil-policies-", ignore_cleanup_errors=True) as directory,
        start_postgres(Path(directory) / "postgres") as postgres,
    ):
        for number in range(ROUNDS):
            for kind, found in rates.items():
                found.append(measure(postgres, f"{kind}_{number}", orders, hot=kind == "hot"))
    print(f"hot / cold: {max(rates['hot']) / max(rates['cold']):.2f}")


def measure(postgres: PostgresServer, name: str, orders: int, *, hot: bool) -> float:
    """Orders a second, from the first outcome to the last."""
    url = filled(postgres, name, orders, hot=hot)
    with psycopg.connect(url, autocommit=True) as conn, running(url):
        while (first := done(conn)) < 1:
            time.sleep(0.01)
        session = psutil.Process(session_of_the_writer(conn))
        before = time.monotonic(), spent(session), time.process_time()
        while done(conn) < orders:
            time.sleep(0.05)
        seconds = time.monotonic() - before[0]
        count = orders - first
        print(
            f"{name}: {count / seconds:.0f} orders/s, {count * LINES / seconds:.0f} stock events/s,"
            f" worker {1_000 * (time.process_time() - before[2]) / count:.2f} ms/order,"
            f" session {1_000 * (spent(session) - before[1]) / count:.2f} ms/order"
        )
    return count / seconds


def filled(postgres: PostgresServer, name: str, orders: int, *, hot: bool) -> str:
    """A database in which all codes are in stock and the orders wait."""
    with psycopg.connect(postgres.url, autocommit=True) as conn:
        conn.execute(psycopg.sql.SQL("create database {}").format(psycopg.sql.Identifier(name)))
    url = psycopg.conninfo.make_conninfo(postgres.url, dbname=name)
    migrating.migrate(url)
    append(url, [received(f"c{number}", PIECES) for number in range(CODES)])
    chance = random.Random(1)
    demands = [chance.sample(range(1, CODES), LINES) for _ in range(orders)]
    if hot:
        demands = [[0, *demand[1:]] for demand in demands]
    append(
        url,
        [placed(f"o{number}", [(f"c{code}", 1) for code in demand]) for number, demand in enumerate(demands)],
    )
    return url


def done(conn: psycopg.Connection) -> int:
    """Outcomes of policies: every other outcome of this log belongs to one stream's first event."""
    row = conn.execute(
        "select (select count(*) from log.outcome) - count(*) from log.event where version = 1"
    ).fetchone()
    assert row is not None
    return int(row[0])


def session_of_the_writer(conn: psycopg.Connection) -> int:
    row = conn.execute(
        "select pid from pg_stat_activity"
        " where application_name = 'counterfoil policies' and datname = current_database()"
    ).fetchone()
    assert row is not None
    return int(row[0])


def spent(process: psutil.Process) -> float:
    """Seconds of processor time."""
    times = process.cpu_times()
    return float(times.user + times.system)


if __name__ == "__main__":
    main()
