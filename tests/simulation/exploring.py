"""Running many schedules, saying which, how many and how fast, so that each can be run again; planting defects."""

import logging
import random
import time

import structlog

from event_store.envelope import Accepted
from event_store.memory import MemoryLog

FIXED_SEED = 20_101_201
FOUND_WITHIN = 2_000
OUTCOMES_LOST = 0.05


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


def first_problem(run, *, within=FOUND_WITHIN):
    """How many schedules it takes to see the defect; a defect may also show as a broken assertion."""
    for number in range(within):
        try:
            if run(FIXED_SEED + number):
                return number
        except AssertionError:
            return number
    return within


def keep_outcomes_outside_the_transaction(monkeypatch):
    """Plant a defect: of some appends the events stay and the outcome is gone."""
    true_append, chance = MemoryLog._append, random.Random(FIXED_SEED)

    def append(self, request, broken):
        verdict = true_append(self, request, broken)
        if isinstance(verdict, Accepted) and chance.random() < OUTCOMES_LOST:
            del self._outcomes[request.key]
        return verdict

    monkeypatch.setattr(MemoryLog, "_append", append)


def silence(monkeypatch, *modules):
    """Thousands of actors that are built and die say so; writing it down would take longer than running them."""
    nothing = structlog.make_filtering_bound_logger(logging.CRITICAL)
    for module in modules:
        monkeypatch.setattr(module, "log", structlog.wrap_logger(None, wrapper_class=nothing))
