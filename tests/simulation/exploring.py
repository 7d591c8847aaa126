"""Planting defects under a scheduler, and keeping its actors quiet."""

import logging
import random

import structlog

from counterfoil.testing.memory import MemoryLog
from counterfoil.testing.scheduling import FIXED_SEED
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


def silence(monkeypatch, *modules):
    """Thousands of actors that are built and die say so; writing it down would take longer than running them."""
    nothing = structlog.make_filtering_bound_logger(logging.CRITICAL)
    for module in modules:
        monkeypatch.setattr(module, "log", structlog.wrap_logger(None, wrapper_class=nothing))
