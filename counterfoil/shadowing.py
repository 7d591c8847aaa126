"""Whether the top-level packages of this product are its own, or those of somebody else under the same names.

Python takes the first `domain` on its path, of any author. This module imports nothing of ours, so that it can say
so before the first of them is imported.
"""

import importlib.machinery
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

OURS: Final = ("commands", "domain", "event_store", "projections", "read_api", "runtime")
"""The top-level packages next to this one."""

_ROOT: Final = Path(__file__).resolve().parent.parent


class Shadowed(ImportError):
    """A package of somebody else has the name of one of ours; the text names both files."""


def refuse() -> None:
    """Make sure that every package of ours would be imported from next to this one.

    Raises:
        Shadowed: one would come from elsewhere.
    """
    for name in OURS:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            raise Shadowed(f"{_ROOT / name} cannot be imported: is this installation whole?")
        found = Path(spec.origin).resolve()
        if found.parent.parent != _ROOT:
            raise Shadowed(
                f"{found} would be imported in place of {_ROOT / name / '__init__.py'}: two packages are called"
                f" {name!r}; rename yours, or take its folder off Python's path"
            )


def hidden(module: str) -> str | None:
    """Why a module cannot be found that lies in a package with the name of one of ours; None: it does not."""
    top = module.partition(".")[0]
    if top not in OURS and top != "counterfoil":
        return None
    ours = _ROOT / top / "__init__.py"
    for found in _found(top):
        if found != ours:
            return (
                f"{found} is not imported, since {ours} has the same name: {top!r} is a package of Counterfoil; rename"
                " yours"
            )
    return f"{top!r} is a package of Counterfoil ({ours}), and has no such module"


def _found(top: str) -> Iterator[Path]:
    for directory in sys.path:
        spec = importlib.machinery.PathFinder.find_spec(top, [directory or str(Path.cwd())])
        if spec is not None and spec.origin is not None:
            yield Path(spec.origin).resolve()
