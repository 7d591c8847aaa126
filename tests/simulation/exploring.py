"""Running many schedules, and saying which, how many and how fast, so that each can be run again."""

import time


def explore(run, first_seed, *, schedules, capsys):
    """The problems by seed; what was run is printed."""
    begun = time.perf_counter()
    found = {seed: run(seed) for seed in range(first_seed, first_seed + schedules)}
    seconds = time.perf_counter() - begun
    with capsys.disabled():
        print(
            f"\nseeds {first_seed} to {first_seed + schedules - 1}: {schedules} schedules in {seconds:.1f} s, "
            f"{schedules / seconds * 60:.0f} a minute; again: SIMULATION_SEED={first_seed}"
        )
    return {seed: problems for seed, problems in found.items() if problems}
