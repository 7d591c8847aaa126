"""The laboratory for hours: campaigns with seeds until the time is up, and a report of what was really run."""

import argparse
import json
import random
import tempfile
from collections import Counter
from pathlib import Path

from runtime.settings import Settings
from tests.fire import campaign, faults
from tests.fire.laboratory import PROJECT, Laboratory


def main():
    parser = argparse.ArgumentParser(prog="make fire ARGS=...", description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="*", help="seeds to run again; fresh ones otherwise")
    parser.add_argument("--commands", type=int, default=3_000)
    parser.add_argument("--faults", type=int, default=20)
    parser.add_argument("--only", nargs="*", choices=sorted(faults.FAULTS), help="only these faults")
    parser.add_argument("--rate", type=float, default=campaign.RATE)
    parser.add_argument("--tree", type=Path, default=PROJECT)
    chosen = parser.parse_args()
    for seed in chosen.seeds or [random.SystemRandom().randrange(2**32)]:
        directory = Path(tempfile.mkdtemp(prefix="counterfoil-fire-"))
        print(f"seed {seed}, servers and logs in {directory}", flush=True)
        with Laboratory(directory, settings=Settings.load(), seed=seed, tree=chosen.tree) as laboratory:
            print("ready", flush=True)
            outcome = campaign.run(
                laboratory,
                seed=seed,
                commands=chosen.commands,
                strikes=chosen.faults,
                names=chosen.only,
                rate=chosen.rate,
            )
        print(outcome)
        print(json.dumps(Counter(name for name, _, _ in outcome.faults)))
        for struck in outcome.faults:
            print("  ", *struck)
        for note in outcome.notes[:20]:
            print("note:", note)
        for violation in outcome.violations[:20]:
            print("VIOLATION", violation)
