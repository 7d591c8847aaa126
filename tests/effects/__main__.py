"""Longer than the tests: `python -m tests.effects [--seeds N] [--first SEED] [--planted]`.

Campaigns with seeds of their own, or, with `--planted`, small ones for each planted fault: all have to be found.
"""

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

import psycopg
from psycopg import sql

from counterfoil import migrating
from devservers import chosen
from runtime.settings import Settings
from tests.effects.campaign import Campaign, Unanswered
from tests.effects.planting import FAULTS
from tests.effects.selling import Refused
from tests.sizes import EFFECTS_KILLS, EFFECTS_ORDERS, EFFECTS_SEEDS

TRIES = 3
"""Campaigns in which a planted fault may stay hidden before that counts."""


def main() -> int:
    """The exit code: 0 when everything was as it should be."""
    parser = argparse.ArgumentParser(prog="python -m tests.effects")
    parser.add_argument("--seeds", type=int, default=EFFECTS_SEEDS.full)
    parser.add_argument("--first", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--planted", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as kept:
        directory = Path(kept)
        with chosen.postgres_for(Settings(), directory=directory / "postgres") as postgres:
            if given.planted:
                found = [_finds(postgres.url, directory, fault, given.first) for fault in FAULTS]
                return 0 if all(found) else 1
            seeds = range(given.first, given.first + given.seeds)
            runs = [
                _run(postgres.url, directory, seed, pauses=pauses)
                for seed in seeds
                for pauses in (False, True)
            ]
            return 1 if any(runs) else 0


def _finds(admin_url: str, directory: Path, fault: str, first: int) -> bool:
    return any(_run(admin_url, directory, seed, fault) for seed in range(first, first + TRIES))


def _run(admin_url: str, directory: Path, seed: int, *planted: str, pauses: bool = False) -> list[str]:
    """What was found, in words."""
    name = f"effects_{seed}_{planted[0] if planted else 'paused' if pauses else 'killed'}"
    home = directory / name
    home.mkdir()
    url = psycopg.conninfo.make_conninfo(admin_url, dbname=name)
    with psycopg.connect(admin_url, autocommit=True) as admin:
        admin.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    migrating.migrate(url)
    began_s = time.monotonic()
    small = {"orders": EFFECTS_ORDERS.gate, "kills": EFFECTS_KILLS.gate} if planted else {}
    campaign = Campaign(home, admin_url, url, seed, planted=planted, pauses=pauses, **small)
    try:
        found = [f"{each.law} {each.what}" for each in campaign.run()]
    except (Unanswered, Refused) as error:
        found = [f"E4 {error}"]
    laws = sorted({each.partition(" ")[0] for each in found})
    print(f"{name}:", end=" ")
    print(f"{len(found)} violations {' '.join(laws)} in {time.monotonic() - began_s:.0f} s", flush=True)
    for each in found[:5]:
        print(f"  {each}")
    return found


if __name__ == "__main__":
    sys.exit(main())
