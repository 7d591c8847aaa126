"""Processor time of a shop's processes: what is used holds on a busy machine too, how long something takes does not."""

import contextlib
import time
from collections.abc import Mapping
from typing import Final

import psutil
from msgspec import Struct

JVM: Final = "kafka"
"""The server that has a virtual machine of its own, with a cost at rest that is not ours."""


class Spent(Struct, frozen=True):
    """Seconds of processor time by process since each began, at a moment of the monotonic clock."""

    at_s: float
    seconds: dict[str, float]

    def since(self, before: "Spent") -> dict[str, float]:
        """Cores used by each process between two moments; one that was started anew meanwhile counts from its start."""
        passed_s = self.at_s - before.at_s
        return {
            name: (total if total < before.seconds[name] else total - before.seconds[name]) / passed_s
            for name, total in self.seconds.items()
        }


def spent(pids: Mapping[str, int]) -> Spent:
    """What these processes and all below them have used, those that have ended included."""
    return Spent(time.monotonic(), {name: _of_tree(pid) for name, pid in pids.items()})


def without_jvm(cores: Mapping[str, float]) -> float:
    """The sum of what is ours to mend."""
    return sum(used for name, used in cores.items() if name != JVM)


def listed(cores: Mapping[str, float]) -> str:
    """Each process with what it used, largest first."""
    return ", ".join(f"{name} {used:.3f}" for name, used in sorted(cores.items(), key=lambda each: -each[1]))


def _of_tree(pid: int) -> float:
    total_s = 0.0
    with contextlib.suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                used = process.cpu_times()
                total_s += used.user + used.system + used.children_user + used.children_system
    return total_s
