"""More load than one command API can carry (P15): what it still does, how it refuses the rest, how soon it recovers.

One command API has a processor of its own; Postgres and who pours share the others. Orders have many lines, so that
five times what the process can do is still little enough to be sent.
"""

import contextlib
import json
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psycopg

from devservers import child
from devservers.postgres import start_postgres
from tests import forking
from tests.chaos.laboratory import PROJECT, Process, wait_until
from tests.chaos.pouring import WINDOW_S

LINES = 200
BATCH = 500
TIMES = 5.0
READY_WITHIN_S = 240.0
NOISE_S = 0.05


@dataclass(frozen=True)
class Bounds:
    """What is asked: shares of the peak, by the clock and by what the API got of its processor, and of what was to be
    offered; seconds."""

    goodput_share: float = 0.8
    processor_share: float = 0.5
    offered_share: float = 0.95
    accepted_p99_s: float = 2.0
    normal_within_s: float = 5.0


@dataclass
class Overloaded:
    """Rates in orders a second, times in seconds. The peak is the mean of before and after: machines do other work."""

    peak: float
    aimed_at: float
    offered: float
    goodput: float
    processor_share: float
    accepted_p99_s: float
    shed: int
    shed_p99_s: float
    usual_p99_s: float
    normal_after_s: float
    broken: list = field(default_factory=list)

    def __str__(self):
        return (
            f"peak {self.peak:.0f} orders of {LINES} lines a second, offered {self.offered:.0f} "
            f"({self.offered / self.peak:.1f} times), goodput {self.goodput:.0f} "
            f"({self.goodput / self.peak:.0%}; {self.processor_share:.0%} for the same time of the processor), "
            f"accepted p99 {self.accepted_p99_s * 1e3:.0f} ms; "
            f"{self.shed} refused with Retry-After, p99 {self.shed_p99_s * 1e3:.0f} ms; "
            f"light load p99 {self.usual_p99_s * 1e3:.0f} ms before, as before {self.normal_after_s:.1f} s after"
        )

    def violations(self, bounds=Bounds()):  # it is frozen
        """What P15 forbids, in words."""
        if self.goodput < bounds.goodput_share * self.peak:
            yield f"goodput is {self.goodput / self.peak:.0%} of the peak"
        if self.processor_share < bounds.processor_share:
            yield f"for the same time of the processor {self.processor_share:.0%} of the peak were carried out"
        if self.accepted_p99_s > bounds.accepted_p99_s:
            yield f"the slowest hundredth of what was accepted took over {self.accepted_p99_s:.1f} s"
        if self.normal_after_s > bounds.normal_within_s:
            yield f"normal again only {self.normal_after_s:.1f} s after"
        if self.offered < bounds.offered_share * self.aimed_at:
            yield f"only {self.offered / self.peak:.1f} times the peak could be offered: this shows nothing"
        yield from self.broken


def overload(directory, *, settings, peak_s, light_s, flood_s, tree=PROJECT):
    """Flood one command API of `tree`; what was found."""
    own, others = _processors()
    with contextlib.ExitStack() as stack:
        postgres = start_postgres(directory / "postgres", programs_folder=settings.postgres_bin)
        stack.callback(postgres.stop)
        _pin(postgres.pid, others)
        api = _command_api(directory, postgres.url, tree=tree)
        stack.callback(api.kill)
        _pin(api.pid, own)
        _create_products(api.url)
        arguments = {"port": api.port, "pid": api.pid, "lines": LINES, "times": TIMES, "peak-s": peak_s}
        arguments |= {"light-s": light_s, "flood-s": flood_s}
        options = [part for name, value in arguments.items() for part in (f"--{name}", str(value))]
        done = forking.run(
            [sys.executable, "-m", "tests.chaos.pouring", *options, "--processors", *map(str, others)],
            cwd=PROJECT,
            check=True,
        )
        phases = json.loads(done.stdout)
        return _found(phases, logged=_orders_of(postgres.url))


def _processors():
    """Those of the command API, and those of everything else: apart, if there are two."""
    first, *others = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
    return [first], others or [first]


def _pin(pid, processors):
    """Every thread of a process, and what it starts from now on; where that cannot be done they share all."""
    for task in Path(f"/proc/{pid}/task").glob("*"):
        os.sched_setaffinity(int(task.name), processors)


def _command_api(directory, url, *, tree):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("COUNTERFOIL_", "PG"))}
    environment = {
        **kept,
        "PYTHONPATH": str(tree),
        "COUNTERFOIL_HOME": str(directory / "home"),
        "COUNTERFOIL_DATABASE_URL": url,
    }
    forking.run([sys.executable, "-m", "counterfoil", "migrate"], env=environment, cwd=tree, check=True)
    api = Process(
        "command-api",
        role="command-api",
        port=child.free_port(),
        environment=environment,
        directory=directory,
        tree=tree,
    )
    api.start()
    wait_until(api.is_ready, within_s=READY_WITHIN_S, what=f"{api.name} ready: {api.log}")
    return api


def _create_products(url):
    commands = [
        {
            "key": f"product-{number}",
            "command": "create_product",
            "body": {"sku": f"P{number}", "title": f"CUP {number}", "stocked": True},
        }
        for number in range(LINES)
    ]
    with httpx.Client(trust_env=False, timeout=120) as client:
        for first in range(0, LINES, BATCH):
            answer = client.post(f"{url}/v1/commands", json={"commands": commands[first : first + BATCH]})
            assert {201} == {result["status"] for result in answer.json()["results"]}


def _orders_of(url):
    with psycopg.connect(url) as conn:
        return [
            stream.removeprefix("order-")
            for (stream,) in conn.execute("select stream from log.event where stream like 'order-%'")
        ]


def _found(phases, *, logged):
    flood, before = phases["flood"], phases["before"]
    at_peak = (phases["peak"]["per_processor_s"] + phases["peak again"]["per_processor_s"]) / 2
    return Overloaded(
        peak=(phases["peak"]["rate"] + phases["peak again"]["rate"]) / 2,
        aimed_at=TIMES * phases["peak"]["rate"],
        offered=flood["sent"] / flood["seconds"],
        goodput=flood["rate"],
        processor_share=flood["per_processor_s"] / at_peak,
        accepted_p99_s=flood["p99_s"],
        shed=len(flood["shed"]),
        shed_p99_s=flood["shed_p99_s"],
        usual_p99_s=before["p99_s"],
        normal_after_s=_normal_after_s(flood, phases["after"], usual_s=before["p99_s"]),
        broken=[*_broken(phases), *_untrue(phases, logged=logged)],
    )


def _normal_after_s(flood, after, *, usual_s):
    """From the end of the flood until answers were as quick as before for good, in seconds."""
    slow = [begun for begun, took in after["windows"] if took > max(2 * usual_s, usual_s + NOISE_S)]
    drained_s = after["begun"] - flood["begun"] - flood["seconds"]
    return drained_s + (slow[-1] + WINDOW_S if slow else 0.0)


def _broken(phases):
    for name, phase in phases.items():
        if phase["without_retry_after"]:
            yield f"{name}: {phase['without_retry_after']} refusals did not say when to come again"
        if phase["reset"]:
            yield f"{name}: {len(phase['reset'])} connections were reset"
        if phase["others"]:
            yield f"{name}: answers with {phase['others']}"


def _untrue(phases, *, logged):
    """L1 and L2: what was accepted is in the log once, what was refused is not."""
    found = set(logged)
    if len(found) != len(logged):
        yield "an order is in the log twice"
    for name, phase in phases.items():
        if missing := set(phase["accepted"]) - found:
            yield f"{name}: {len(missing)} accepted orders are not in the log"
        if present := set(phase["shed"]) & found:
            yield f"{name}: {len(present)} refused orders are in the log"
