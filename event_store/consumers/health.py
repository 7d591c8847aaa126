"""Whether the consumers of a process do their part: written by their threads, read by probes."""

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

Condition = Literal["starting", "standby", "active", "paused", "retrying", "fork", "stopped"]


class ConsumerHealth(Struct):
    """The condition of one consumer, and why it is so where that needs a reason."""

    condition: Condition = "starting"
    detail: str = ""

    @property
    def ready(self) -> bool:
        """Whether it works, stands by for another process that does, or does nothing because an operator wants so."""
        return self.condition in {"active", "standby", "paused"}

    def show(self, condition: Condition, detail: str = "") -> None:
        """Say how it is now."""
        self.condition, self.detail = condition, detail


class Health:
    """The consumers of one process by name; none before they are hosted."""

    def __init__(self) -> None:
        self.consumers: dict[str, ConsumerHealth] = {}
        self.hosted = False
        """Whether it is known which consumers there are; there may be none."""

    def host(self, names: Iterable[str]) -> None:
        """Note which consumers this process runs."""
        self.consumers = {name: ConsumerHealth() for name in names}
        self.hosted = True

    @property
    def ready(self) -> bool:
        """Whether every consumer is."""
        return self.hosted and all(each.ready for each in self.consumers.values())

    def lines(self) -> list[str]:
        """One line for each consumer: name, condition, reason."""
        return [
            f"{name} {each.condition}: {each.detail}" if each.detail else f"{name} {each.condition}"
            for name, each in self.consumers.items()
        ]
