"""The consumer of the how-to page, as modules that can be imported."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Final

from tests.counterfoil import lending
from tests.documentation.pages import ROOT, Page

PAGE: Final = ROOT / "docs" / "how-to" / "consumer.md"
MODULES: Final = ("counting", "test_counting")


def blocks() -> dict[str, str]:
    """The text of each module of the page, by name."""
    texts = [text for language, text in Page(PAGE, PAGE.read_text()).blocks if language == "python"]
    return {text.partition("\n")[0].removeprefix("# ").removesuffix(".py"): text for text in texts}


def write(directory: Path, **changed: str) -> None:
    """Write the modules of the page, those that are changed as they are given."""
    for name, text in (blocks() | changed).items():
        (directory / f"{name}.py").write_text(text)


@contextmanager
def imported(directory: Path) -> Iterator[ModuleType]:
    """The test of the page, with what it imports, as long as the block runs."""
    sys.path.insert(0, str(directory))
    importlib.invalidate_caches()
    sys.modules["lending"] = lending
    try:
        yield importlib.import_module("test_counting")
    finally:
        sys.path.remove(str(directory))
        for name in ("lending", *MODULES):
            sys.modules.pop(name, None)
