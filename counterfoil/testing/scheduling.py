"""Simulation from a seed: actors in one thread, and a world that kills them or lets another go first at every call.

An actor calls `border` wherever its process talks to another one; one that is a coroutine awaits `call`. The same seed
runs the same schedule, so what goes wrong can be run again; `explore` runs many.
"""

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

FIXED_SEED: Final = 20_101_201
"""Where schedules begin that are the same in every run."""
FOUND_WITHIN: Final = 2_000
"""Schedules within which a planted defect has to show."""

CRASHES: Final = 0.06
"""Share of the calls at which the caller dies."""
OVERTAKEN: Final = 0.1
"""Share of the calls before which another actor acts."""
OVERTAKING_DEPTH_MAX: Final = 2
MOMENTS_MAX: Final = 3
"""How often other coroutines go on while one calls across the border."""
MOMENT_S: Final = 0.001

_BEGINNING: Final = datetime(2026, 3, 1, tzinfo=UTC)

Problems = list[str]
Run = Callable[[int], Problems]
"""One schedule from a seed; what is wrong at its end."""


class Crash(BaseException):
    """The process of the actor that was running is gone."""


class VirtualClock:
    """Time that passes only when it is advanced."""

    def __init__(self, begins: datetime = _BEGINNING) -> None:
        self._begins = begins
        self.at_s = 0.0
        """Seconds since it began."""

    @property
    def now(self) -> datetime:
        """The time of day."""
        return self._begins + timedelta(seconds=self.at_s)

    def pass_s(self, seconds: float) -> None:
        """Let time pass."""
        assert seconds >= 0, "time does not go back"
        self.at_s += seconds


class Scheduler:
    """The dice, and what they do to those who call across a border: crash, or be overtaken by another actor.

    With `crash_at` the call of that number is the one at which its caller dies, and nothing else interferes: running
    all numbers kills an actor at every step it has. While it is `calm` nothing happens at all, so that everything ends.
    """

    def __init__(self, seed: int, *, crash_at: int | None = None) -> None:
        self.chance = random.Random(seed)
        self.clock = VirtualClock()
        self.crash_at = crash_at
        self.border_calls = 0
        self.calm = False
        self.others: list[Callable[[], None]] = []
        """What may happen meanwhile, as often as it stands here."""
        self._depth = 0

    def border(self) -> None:
        """A call leaves an actor.

        Raises:
            Crash: the actor dies here; what it kept in memory is gone.
        """
        if self.calm:
            return
        self.border_calls += 1
        if self.crash_at is not None:
            if self.border_calls == self.crash_at:
                raise Crash
            return
        roll = self.chance.random()
        if roll < CRASHES:
            raise Crash
        if roll < CRASHES + OVERTAKEN and self._depth < OVERTAKING_DEPTH_MAX and self.others:
            self._depth += 1
            self.chance.choice(self.others)()
            self._depth -= 1

    async def call(self) -> None:
        """A call leaves an actor that is a coroutine: others of its loop go on meanwhile, and time passes.

        Raises:
            Crash: the actor dies here.
        """
        self.border()
        for _ in range(self.chance.randint(0, MOMENTS_MAX)):
            self.clock.pass_s(MOMENT_S)
            await asyncio.sleep(0)

    def roll(self, probability: float) -> bool:
        """Whether something that happens now and then happens now; never while it is calm."""
        return not self.calm and self.chance.random() < probability


def explore(
    run: Run, first_seed: int, *, schedules: int, say: Callable[[str], None] = print
) -> Mapping[int, Problems]:
    """Run many schedules; the problems by seed, none for those that went well. Says which seeds it ran."""
    begun = time.perf_counter()
    found = {seed: run(seed) for seed in range(first_seed, first_seed + schedules)}
    seconds = time.perf_counter() - begun
    say(
        f"\nseeds {first_seed} to {first_seed + schedules - 1}: {schedules} schedules in {seconds:.1f} s, "
        f"{schedules / seconds * 60:.0f} a minute; again: SIMULATION_SEED={first_seed}"
    )
    return {seed: problems for seed, problems in found.items() if problems}


def first_problem(run: Run, *, within: int = FOUND_WITHIN) -> int:
    """How many schedules it takes to see a planted defect, which may also show as a broken assertion."""
    for number in range(within):
        try:
            if run(FIXED_SEED + number):
                return number
        except AssertionError:
            return number
    return within
