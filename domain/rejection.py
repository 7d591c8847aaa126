"""Refusals: a decision that says no raises one, with the facts of the matter as attributes.

Rejection
├── Unknown        what the command addresses does not exist
├── Conflict       what is there does not allow it (now)
└── Unacceptable   the input can never be accepted as it stands

Each context defines its refusals as subclasses of these three. A refusal is an answer, not a failure: it is
never logged as an error and never stored.
"""

import re
from dataclasses import dataclass, fields
from typing import ClassVar


@dataclass(kw_only=True, eq=False)
class Rejection(Exception):
    """A business refusal; `str()` is a sentence for people, `code` and `facts()` are for programs."""

    code: ClassVar[str] = "rejection"
    """Stable kebab-case name of the refusal, taken from the class name; renaming a class breaks clients."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.code = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", cls.__name__).lower()

    def __str__(self) -> str:
        return self.code.replace("-", " ").capitalize() + "."

    def facts(self) -> dict[str, object]:
        """Return the facts by attribute name, in order of declaration."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


class Unknown(Rejection):
    """What the command addresses does not exist."""


class Conflict(Rejection):
    """The present state does not allow it; another state might."""


class Unacceptable(Rejection):
    """The input cannot be accepted in any state."""
