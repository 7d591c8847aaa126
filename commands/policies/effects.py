"""What the pipeline asks its driver to do, in the order in which it asks."""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from commands.policies.trigger import Trigger
from event_store.envelope import AppendRequest

Outcome = Literal["decided", "refused", "empty", "replayed", "given_up"]
"""What became of a trigger. `replayed`: an earlier worker, or an earlier answer that was lost, had done it."""


class Send(Struct, frozen=True):
    """Append this; tell the verdict by `answered`, or why there is none by `failed` or `unfit`."""

    number: int
    request: AppendRequest


class Read(Struct, frozen=True):
    """Read these streams after these versions, and these outcomes; tell by `page` and, at the end, `taken`."""

    number: int
    after: Mapping[str, int]
    keys: tuple[bytes, ...]


class Park(Struct, frozen=True):
    """Note the trigger as waiting for a person, durably. Without a failure it waits behind an older one."""

    trigger: Trigger
    failure: str | None


class Done(Struct, frozen=True):
    """The trigger has its outcome in the log."""

    trigger: Trigger
    outcome: Outcome


Effect = Send | Read | Park | Done
