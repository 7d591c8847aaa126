"""`counterfoil context new`: a package outside this one with a context that works, and tests that pass."""

import keyword
import re
import sys
from collections.abc import Iterator
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template
from typing import Final

from counterfoil import shadowing

NAME_LENGTH_MAX: Final = 20
"""Characters; names of views and their tables begin with it."""

_NAME: Final = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_SUFFIX: Final = ".template"
_PACKAGE: Final = "package"
"""The folder of templates that gets the context's name."""


class NotGenerated(Exception):
    """Nothing was written; the text says why."""


def generate(name: str, *, into: Path) -> list[Path]:
    """Write the package below `into`, in a folder of its name; the files that were written.

    Raises:
        NotGenerated: the name cannot be one, or is in use.
    """
    _require_free(name)
    folder = into / name
    if folder.exists():
        raise NotGenerated(f"{folder} exists: nothing was written")
    words = {
        "name": name,
        "constant": name.upper(),
        "prefix": "".join(word.capitalize() for word in name.split("_")),
        "slug": name.replace("_", "-"),
        "distribution": name.replace("_", "-"),
    }
    written = [_write(folder, path, text, words) for path, text in _templates()]
    (folder / name / "__init__.py").touch()
    return [*written, folder / name / "__init__.py"]


def _require_free(name: str) -> None:
    if not _NAME.fullmatch(name) or len(name) > NAME_LENGTH_MAX or keyword.iskeyword(name):
        raise NotGenerated(
            f"{name!r} cannot name a context: lower-case words joined by '_', {NAME_LENGTH_MAX} characters at most"
        )
    if name in {*shadowing.OURS, "counterfoil", "tests"} or name in sys.stdlib_module_names:
        raise NotGenerated(f"{name!r} is the name of a package that exists: choose another")


def _templates() -> Iterator[tuple[str, str]]:
    """Every template by its path below the folder of templates."""
    waiting: list[tuple[str, Traversable]] = [("", resources.files("counterfoil") / "skeleton")]
    while waiting:
        path, found = waiting.pop()
        for each in sorted(found.iterdir(), key=lambda each: each.name):
            below = f"{path}{each.name}"
            if each.is_dir():
                waiting.append((f"{below}/", each))
            elif below.endswith(_SUFFIX):
                yield below.removesuffix(_SUFFIX), each.read_text(encoding="utf-8")


def _write(folder: Path, path: str, text: str, words: dict[str, str]) -> Path:
    first, _, rest = path.partition("/")
    target = folder / (f"{words['name']}/{rest}" if first == _PACKAGE else path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(Template(text).substitute(words), encoding="utf-8")
    return target
