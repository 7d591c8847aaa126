"""Processes for which the `eventsourcing` library is not installed."""

import os
from pathlib import Path

from tests.architecture.source import ROOT

HIDDEN = "raise ImportError('the eventsourcing library is hidden')\n"


def python_path(directory: Path) -> str:
    """A PYTHONPATH with which every import of the library fails, in a process and in those that it starts."""
    package = directory / "hidden" / "eventsourcing"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(HIDDEN)
    return os.pathsep.join([str(package.parent), str(ROOT)])
