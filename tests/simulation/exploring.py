"""Planting defects under a scheduler, having actors die at each step, and keeping them quiet."""

import itertools
import logging
import random

import structlog

from counterfoil.testing.memory import MemoryLog
from counterfoil.testing.scheduling import FIXED_SEED, Scheduler
from event_store.log.envelope import Accepted

OUTCOMES_LOST = 0.05


def keep_outcomes_outside_the_transaction(monkeypatch):
    """Plant a defect: of some appends the events stay and the outcome is gone."""
    true_append, chance = MemoryLog._append, random.Random(FIXED_SEED)

    def append(self, request, broken):
        verdict = true_append(self, request, broken)
        if isinstance(verdict, Accepted) and chance.random() < OUTCOMES_LOST:
            del self._outcomes[request.key]
        return verdict

    monkeypatch.setattr(MemoryLog, "_append", append)


def crashed_at_each_step(monkeypatch, run):
    """What is wrong at the end of one schedule in which an actor dies, by the step at which: all that there are."""
    true_init, worlds = Scheduler.__init__, []

    def init(self, *given, **named):
        true_init(self, *given, **named)
        worlds.append(self)

    monkeypatch.setattr(Scheduler, "__init__", init)
    found = {}
    for step in itertools.count(1):
        found[step] = run(FIXED_SEED, crash_at=step)
        if worlds.pop().border_calls < step:  # nobody died: it has no such step
            break
    return found


def silence(monkeypatch, *modules):
    """Thousands of actors that are built and die say so; writing it down would take longer than running them."""
    nothing = structlog.make_filtering_bound_logger(logging.CRITICAL)
    for module in modules:
        monkeypatch.setattr(module, "log", structlog.wrap_logger(None, wrapper_class=nothing))
