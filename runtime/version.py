"""Which Counterfoil this is, as installed: the one place that knows is `pyproject.toml`."""

from functools import cache
from importlib import metadata
from typing import Final

DISTRIBUTION: Final = "counterfoil"


@cache
def version() -> str:
    """The version of the installed distribution."""
    return metadata.version(DISTRIBUTION)
