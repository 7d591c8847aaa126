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
from tests.chaos import campaign, faults, mutants, overload, poisoning, restoring
from tests.chaos.laboratory import PROJECT, Laboratory, export
from tests.sizes import CHAOS_COMMANDS, CHAOS_FAULTS, CHAOS_SEEDS, FLOOD_S

SHOWN = 20
PROMISES = ("restored", "overload", "poison")


def main():
    """Run what the arguments say; exit code 1 on a violation, or when a planted defect was not found.

    Without a choice of faults or promises: campaigns, behind each a restore, and at the end overload and poison.
    """
    parser = argparse.ArgumentParser(prog="make chaos ARGS=...", description=__doc__)
    parser.add_argument("--minutes", type=float, default=0.0, help="go on with further rounds for so long")
    parser.add_argument(
        "--seeds", type=int, nargs="*", default=[], help="seeds to run again; fresh ones otherwise"
    )
    parser.add_argument("--commands", type=int, default=CHAOS_COMMANDS.full, help="commands of a round")
    parser.add_argument("--faults", type=int, default=CHAOS_FAULTS.full, help="faults of a round")
    parser.add_argument("--only", nargs="*", choices=sorted(faults.FAULTS), help="only these faults")
    parser.add_argument("--rate", type=float, default=campaign.RATE, help="commands a second")
    parser.add_argument("--tree", type=Path, default=PROJECT, help="folder of the product under test")
    parser.add_argument(
        "--mutants", nargs="*", help="plant defects (all, or those whose name has a word) and find each"
    )
    parser.add_argument("--promises", nargs="*", choices=PROMISES, help="no campaign, only these")
    chosen = parser.parse_args()
    if chosen.mutants is not None:
        sys.exit(0 if mutants.hunt_all(seeds=chosen.seeds, chosen=chosen.mutants) else 1)
    seeds = chosen.seeds or [random.SystemRandom().randrange(2**32) for _ in range(CHAOS_SEEDS.full)]
    violations = [violation for seed in seeds for violation in _violations(seed, chosen, share=len(seeds))]
    wanted = _promises(chosen)
    for name, keep in (("overload", flood), ("poison", poison)):
        violations += keep(chosen) if name in wanted else []
    print(f"violations in all: {len(violations)}")
    sys.exit(1 if violations else 0)


def _promises(chosen):
    """What is shown apart from campaigns: everything, unless something else was asked for."""
    if chosen.promises is not None:
        return chosen.promises or PROMISES
    return () if chosen.only else PROMISES


def _violations(seed, chosen, *, share):
    found = []
    if chosen.promises is None:
        found += inject(seed, chosen, minutes=chosen.minutes / share).violations
    if "restored" in _promises(chosen):
        found += restore(seed, chosen).violations
    return found


def inject(seed, chosen, *, minutes):
    """One laboratory: rounds of trading and faults until the time is up, judged once at the end."""
    begun = time.monotonic()
    directory = Path(tempfile.mkdtemp(prefix="counterfoil-chaos-"))
    print(f"seed {seed}, servers and logs in {directory}", flush=True)
    with Laboratory(
        directory, settings=Settings.load(), seed=seed, tree=chosen.tree, small_disk=True
    ) as laboratory:
        for name, reason in faults.not_possible(laboratory).items():
            print(f"not run: {name}: {reason}", flush=True)
        trading = campaign.Campaign(laboratory)
        rounds = 0
        while not rounds or time.monotonic() - begun < minutes * 60:
            own = seed + rounds
            trading.trade(
                seed=own, commands=chosen.commands, strikes=chosen.faults, names=chosen.only, rate=chosen.rate
            )
            rounds += 1
            print(f"round {rounds} (seed {own}): {trading.history.commands} commands", flush=True)
        outcome = trading.judged(seed=seed)
    outcome.seconds = time.monotonic() - begun
    report(outcome)
    return outcome


def restore(seed, chosen):
    """One laboratory whose database is put back to an older copy."""
    directory = Path(tempfile.mkdtemp(prefix="counterfoil-restore-"))
    print(f"an older copy is restored, seed {seed}, servers and logs in {directory}", flush=True)
    with Laboratory(directory, settings=Settings.load(), seed=seed, tree=chosen.tree) as laboratory:
        outcome = restoring.run(laboratory, seed=seed)
    report(outcome)
    return outcome


def flood(chosen):
    """Five times what one command API can do; what P15 forbids and happened."""
    directory = Path(tempfile.mkdtemp(prefix="counterfoil-overload-"))
    found = overload.overload(
        directory,
        settings=Settings.load(),
        peak_s=8.0,
        light_s=6.0,
        flood_s=float(FLOOD_S.full),
        tree=chosen.tree,
    )
    return _described("overload", found)


def poison(chosen):
    """Twenty streams that a defective fold cannot take; what P10 forbids and happened."""
    directory = Path(tempfile.mkdtemp(prefix="counterfoil-poison-"))
    tree = poisoning.plant(export(directory / "tree"))
    settings = Settings.load()
    with Laboratory(directory, settings=settings, seed=0, tree=tree, roles=poisoning.ROLES) as laboratory:
        found = poisoning.poison(laboratory, sound=chosen.tree)
    return _described("poison", found)


def _described(name, found):
    violations = list(found.violations())
    print(f"{name}: {found}")
    for violation in violations:
        print("VIOLATION", f"{name}: {violation}", flush=True)
    return violations


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
