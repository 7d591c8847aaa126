"""One campaign: clients trade, faults strike at even distances of their progress, everything settles, and is judged."""

import contextlib
import random
import time
from dataclasses import dataclass, field

from tests.chaos import checker, dumping, faults
from tests.chaos.clients import Client, Crowd, History, stock_up

CLIENTS = 8
RATE = 45.0
CALM_COMMANDS = 40
STALLED_S = 60.0


@dataclass
class Outcome:
    """What a campaign did and what came of it."""

    seed: int
    commands: int = 0
    attempts: int = 0
    reads: int = 0
    asked_to_wait: int = 0
    events: int = 0
    faults: list = field(default_factory=list)
    notes: list = field(default_factory=list)
    violations: list = field(default_factory=list)
    seconds: float = 0.0

    def __str__(self):
        return (
            f"seed {self.seed}: {self.commands} commands in {self.attempts} attempts, {self.reads} fresh reads "
            f"and {self.asked_to_wait} asked to wait, "
            f"{self.events} events, {len(self.faults)} faults, {len(self.violations)} violations, "
            f"{self.seconds:.0f} s"
        )


class Campaign:
    """Several rounds of trading and faults in one laboratory, judged once at the end."""

    def __init__(self, laboratory):
        self.laboratory = laboratory
        self.history = History()
        self.struck = []
        laboratory.lost_upto = {}
        self._tail = dumping.Tail(laboratory)
        self._rounds = 0
        first = self._client("first", number=0)
        stock_up(first)
        first.close()

    @contextlib.contextmanager
    def crowd(self, *, seed, rate):
        """Clients trade while the caller does something else."""
        self._rounds += 1
        run = f"r{self._rounds}"
        clients = [self._client(run, number=number, seed=seed) for number in range(CLIENTS)]
        crowd = Crowd(clients, history=self.history, rate=rate)
        crowd.start()
        try:
            yield crowd
        finally:
            crowd.finish()

    def trade(self, *, seed, commands, strikes, names=None, rate=RATE, calm=CALM_COMMANDS):
        """Clients trade, faults strike, with so many commands at least between two of them."""
        chance = random.Random(f"faults/{seed}")
        names = names or sorted(faults.FAULTS.keys() - faults.not_possible(self.laboratory).keys())
        wanted = self.history.commands + commands
        with self.crowd(seed=seed, rate=rate) as crowd:
            for number, name in enumerate(faults.plan(seed, count=strikes, names=names)):
                # Evenly over what is left to do, so that no fault strikes where nobody trades.
                left = max(0, wanted - self.history.commands)
                self._wait(crowd, self.history.commands + max(calm, left // (strikes - number + 1)))
                at = time.monotonic()
                what = faults.hurt(name, self.laboratory, chance)
                self.laboratory.keep_alive()
                self.struck.append((name, what, round(time.monotonic() - at, 1)))
            self._wait(crowd, max(wanted, self.history.commands + calm))

    def judged(
        self, *, seed, settled_within_s=dumping.SETTLED_WITHIN_S, cut=None, generation=1, topic_start=1
    ):
        """Let everything settle, dump it, and judge; behind a restore, by what its `cut` left of the history."""
        unsettled = dumping.settle(self.laboratory, within_s=settled_within_s)
        tailed = self._tail.finish()
        attempts, reads = cut.kept(self.history) if cut else (self.history.attempts, self.history.reads)
        evidence = checker.Evidence(
            attempts=attempts,
            reads=reads,
            tailed=None if cut else tailed,  # who tails a log that was cut off sees another one
            log=dumping.log_of(self.laboratory),
            topic=dumping.topic_of(self.laboratory, generation=generation),
            topic_start=topic_start,
            lost_upto=self.laboratory.lost_upto,
            views=dumping.views_of(self.laboratory),
            documents=dumping.documents_of(self.laboratory),
            outcomes=dumping.outcomes_of(self.laboratory),
        )
        violations = checker.judge(evidence)
        if unsettled:
            violations.append(checker.Violation("settled", unsettled))
        return Outcome(
            seed=seed,
            commands=self.history.commands,
            attempts=len(self.history.attempts),
            reads=len(self.history.reads),
            asked_to_wait=self.history.asked_to_wait,
            events=len(evidence.log),
            faults=self.struck,
            notes=self.history.notes,
            violations=violations,
        )

    def _client(self, run, *, number, seed=0):
        links = self.laboratory.network.links
        return Client(
            number,
            seed=seed,
            command_ports=[links[process.name].port for process in self.laboratory.of("command-api")],
            query_port=self.laboratory.of("query-api")[0].port,
            history=self.history,
            run=run,
        )

    def _wait(self, crowd, commands):
        """Until so many commands have an outcome; what died of itself is started again, and noted."""
        reached, since = self.history.commands, time.monotonic()
        while self.history.commands < commands and crowd.is_working():
            time.sleep(0.05)
            for name in self.laboratory.keep_alive():
                self.history.note(f"{name} had ended")
            if self.history.commands != reached:
                reached, since = self.history.commands, time.monotonic()
            if time.monotonic() - since > STALLED_S:
                self.history.note(f"no command had an outcome for {STALLED_S} s")
                crowd.stop.set()
                return


def run(
    laboratory, *, seed, commands, strikes, names=None, rate=RATE, settled_within_s=dumping.SETTLED_WITHIN_S
):
    """One campaign with one seed."""
    begun = time.monotonic()
    campaign = Campaign(laboratory)
    campaign.trade(seed=seed, commands=commands, strikes=strikes, names=names, rate=rate)
    outcome = campaign.judged(seed=seed, settled_within_s=settled_within_s)
    outcome.seconds = time.monotonic() - begun
    return outcome
