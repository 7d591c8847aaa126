"""Refusals: a decision that says no raises one, with the facts of the matter as attributes.

Rejection
├── Unknown        what the command addresses does not exist
├── Conflict       what is there does not allow it (now)
└── Unacceptable   the input can never be accepted as it stands

Each context defines its refusals as subclasses of these three, and each says of itself what people need who meet
it: a title, what it means, what to do. A refusal is an answer, not a failure: it is never logged as an error and
never stored.

    @dataclass(kw_only=True, eq=False)
    class OrderUnknown(Unknown):
        title = "There is no such order"
        meaning = "The command addresses an order that was never placed."
        remedy = "Check the id: case matters."

        order_id: OrderId
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import ClassVar, Final

from msgspec import Struct

_DESCRIPTION: Final = ("title", "meaning", "remedy")


class Place(Struct, frozen=True):
    """A part of the input, by the members and indices that lead to it, and what is wrong with it."""

    path: tuple[str | int, ...]
    detail: str


@dataclass(kw_only=True, eq=False)
class Rejection(Exception):
    """A business refusal; `str()` is a sentence for people, `code` and `facts()` are for programs."""

    code: ClassVar[str] = "rejection"
    """Stable kebab-case name of the refusal, taken from the class name; renaming a class breaks clients."""

    title: ClassVar[str]
    """The refusal in a few words, the same for all events."""
    meaning: ClassVar[str]
    """The state in which the command is refused."""
    remedy: ClassVar[str]
    """What the caller can do."""

    def __init_subclass__(cls) -> None:
        """Name the refusal after its class.

        Raises:
            TypeError: it does not say of itself what people need who meet it.
        """
        super().__init_subclass__()
        cls.code = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", cls.__name__).lower()
        missing = [name for name in _DESCRIPTION if not vars(cls).get(name)]
        if missing and Rejection not in cls.__bases__:
            raise TypeError(f"{cls.__qualname__} does not say its {', '.join(missing)}")

    def __str__(self) -> str:
        return self.code.replace("-", " ").capitalize() + "."

    def facts(self) -> dict[str, object]:
        """Return the events by attribute name, in order of declaration."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def places(self) -> Iterable[Place]:
        """Return the parts of the input that are at fault, where it is about parts."""
        return ()


class Unknown(Rejection):
    """The object of the command does not exist."""


class Conflict(Rejection):
    """The present state does not allow it; another state might."""


class Unacceptable(Rejection):
    """The input cannot be accepted in any state."""
