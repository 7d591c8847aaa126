"""The laboratory for longer: campaigns with seeds until the time is up, and a report of what was really run."""

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from runtime.settings import Settings
from tests.fire import campaign, faults, mutants
from tests.fire.laboratory import PROJECT, Laboratory

COMMANDS = 3_000
FAULTS = 30
SEEDS = 3
SHOWN = 20


def main():
    """Run what the arguments say; exit code 1 on a violation, or when a planted defect was not found."""
    parser = argparse.ArgumentParser(prog="make fire ARGS=...", description=__doc__)
    parser.add_argument("--minutes", type=float, default=0.0, help="go on with further rounds for so long")
    parser.add_argument(
        "--seeds", type=int, nargs="*", default=[], help="seeds to run again; fresh ones otherwise"
    )
    parser.add_argument("--commands", type=int, default=COMMANDS, help="commands of a round")
    parser.add_argument("--faults", type=int, default=FAULTS, help="faults of a round")
    parser.add_argument("--only", nargs="*", choices=sorted(faults.FAULTS), help="only these faults")
    parser.add_argument("--rate", type=float, default=campaign.RATE, help="commands a second")
    parser.add_argument("--tree", type=Path, default=PROJECT, help="folder of the product to burn")
    parser.add_argument(
        "--mutants", nargs="*", help="plant defects (all, or those whose name has a word) and find each"
    )
    chosen = parser.parse_args()
    if chosen.mutants is not None:
        sys.exit(0 if mutants.hunt_all(seeds=chosen.seeds, chosen=chosen.mutants) else 1)
    seeds = chosen.seeds or [random.SystemRandom().randrange(2**32) for _ in range(SEEDS)]
    outcomes = [burn(seed, chosen, minutes=chosen.minutes / len(seeds)) for seed in seeds]
    print(f"violations in all: {sum(len(outcome.violations) for outcome in outcomes)}")
    sys.exit(1 if any(outcome.violations for outcome in outcomes) else 0)


def burn(seed, chosen, *, minutes):
    """One laboratory: rounds of trading and faults until the time is up, judged once at the end."""
    begun = time.monotonic()
    directory = Path(tempfile.mkdtemp(prefix="counterfoil-fire-"))
    print(f"seed {seed}, servers and logs in {directory}", flush=True)
    with Laboratory(
        directory, settings=Settings.load(), seed=seed, tree=chosen.tree, small_disk=True
    ) as laboratory:
        for name, reason in faults.not_possible(laboratory).items():
            print(f"not run: {name}: {reason}", flush=True)
        burning = campaign.Campaign(laboratory)
        rounds = 0
        while not rounds or time.monotonic() - begun < minutes * 60:
            own = seed + rounds
            burning.trade(
                seed=own, commands=chosen.commands, strikes=chosen.faults, names=chosen.only, rate=chosen.rate
            )
            rounds += 1
            print(f"round {rounds} (seed {own}): {burning.history.commands} commands", flush=True)
        outcome = burning.judged(seed=seed)
    outcome.seconds = time.monotonic() - begun
    report(outcome)
    return outcome


def report(outcome):
    """What was run, and what came of it."""
    print(outcome)
    print(json.dumps(dict(sorted(Counter(name for name, _, _ in outcome.faults).items()))))
    for name, what, seconds in outcome.faults:
        print(f"  {name} {what if what is not None else ''} {seconds} s")
    for note in outcome.notes[:SHOWN]:
        print("note:", note)
    for violation in outcome.violations[:SHOWN]:
        print("VIOLATION", violation, flush=True)
