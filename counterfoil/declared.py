"""Which contexts an installation has: those of the shop, or those that a setting names, wherever they are declared.

A context from outside is an object in a module that Python finds: on its path, or in the directory in which the command
was started. A distribution may also announce it as an entry point, which gives it a name. A command that is given no
setting takes that of the `up` that runs in its home directory, as it takes its addresses.
"""

import contextlib
import importlib
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Final

from counterfoil import runfile, shadowing
from counterfoil.context import Context, ContextError, Contexts
from runtime.settings import PREFIX, Settings, SettingsError

GROUP: Final = "counterfoil.contexts"
"""Entry points of this group are contexts."""
VARIABLE: Final = f"{PREFIX}CONTEXTS"
SHOP: Final = "shop"
"""Names all contexts of the shop at once."""


class ContextsError(SettingsError):
    """The contexts that a setting or an entry point names cannot be had; the text says which and why."""


def contexts(settings: Settings) -> Contexts:
    """All contexts of this installation: what the setting names, its own or that of `up`, or the shop and entry points.

    What operators record, and what is recorded of callers, is always among them.

    Raises:
        ContextsError: one cannot be imported, is none, or does not fit to another.
    """
    from counterfoil.operations import OPERATIONS
    from counterfoil.security import SECURITY

    named, started_in = settings.contexts, Path.cwd()
    if named is None and (running := runfile.read(settings.home)) is not None:
        named, started_in = running.contexts, Path(running.contexts_in or started_in)
    with fitting():
        return Contexts(*_chosen(named, started_in), OPERATIONS, SECURITY)


@contextlib.contextmanager
def fitting() -> Iterator[None]:
    """Around what takes contexts together, or imports what they declare.

    Raises:
        ContextsError: a declaration has to change.
    """
    try:
        yield
    except ContextError as error:
        raise ContextsError(f"the contexts do not fit together: {error}") from error


def _chosen(named: str | None, started_in: Path) -> Iterator[Context]:
    announced = {point.name: point for point in metadata.entry_points(group=GROUP)}
    if named is None:
        yield from _of_the_shop()
        for point in announced.values():
            yield _announced(point, started_in)
        return
    for name in filter(None, map(str.strip, named.split(","))):
        if name == SHOP:
            yield from _of_the_shop()
        elif ":" in name:
            yield _imported(name, started_in, said_by=VARIABLE)
        elif name in announced:
            yield _announced(announced[name], started_in)
        else:
            known = ", ".join([SHOP, *announced])
            raise ContextsError(f"{VARIABLE}: {name!r} is neither package.module:NAME nor one of {known}")


def _of_the_shop() -> tuple[Context, ...]:
    from counterfoil.contexts import SHOP_CONTEXTS

    return SHOP_CONTEXTS


def _announced(point: metadata.EntryPoint, started_in: Path) -> Context:
    return _imported(point.value, started_in, said_by=f"the entry point {point.name!r}")


def _imported(place: str, started_in: Path, *, said_by: str) -> Context:
    """The context at `package.module:NAME`."""
    module, _, name = place.partition(":")
    if str(started_in) not in sys.path:
        sys.path.append(str(started_in))  # last, so that nothing in it takes the place of what is installed
    try:
        imported = importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = error.name or module
        reason = (
            shadowing.hidden(missing) or f"there is no module {missing!r} on Python's path or in {started_in}"
        )
        raise ContextsError(f"{said_by}: {place}: {reason}") from error
    found = getattr(imported, name, None)
    if found is None:
        raise ContextsError(f"{said_by}: {place}: module {module!r} has no {name!r}")
    if not isinstance(found, Context):
        raise ContextsError(f"{said_by}: {place} is a {type(found).__name__}, not a Context")
    return found
