"""The project's own Python files as text and syntax trees: what the rules of this folder are asked about."""

import ast
import functools
import gc
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]

PACKAGES: Final = (
    "commands",
    "counterfoil",
    "domain",
    "event_store",
    "projections",
    "read_api",
    "runtime",
)
"""What production installs."""

LEFT_OUT: Final = ("devservers", "examples")
"""What it leaves out: a distribution of its own, held to the same rules."""


@dataclass(frozen=True)
class Source:
    """One Python file: its path below the root, in the form `package/module.py`, and what it says."""

    path: str
    text: str

    @property
    def module(self) -> str:
        """The dotted name that imports it."""
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @property
    def package(self) -> str:
        """The top-level folder."""
        return self.path.partition("/")[0]

    @functools.cached_property
    def tree(self) -> ast.Module:
        """The syntax tree."""
        collecting = gc.isenabled()
        gc.disable()  # nothing of a tree is garbage, and looking through all of them takes longer than parsing
        try:
            return ast.parse(self.text, self.path)
        finally:
            gc.freeze()
            if collecting:
                gc.enable()

    @functools.cached_property
    def nodes(self) -> list[ast.AST]:
        """Every node of the tree."""
        return list(ast.walk(self.tree))

    def at(self, node: ast.AST, message: str) -> str:
        """A finding with its place."""
        return f"{self.path}:{getattr(node, 'lineno', 1)}: {message}"


Rule = Callable[[Source], Iterator[str]]


@functools.cache
def sources(*folders: str) -> tuple[Source, ...]:
    """Every Python file below these folders of the project; read and parsed once."""
    return tuple(
        Source(str(path.relative_to(ROOT)), path.read_text())
        for folder in folders
        for path in sorted((ROOT / folder).rglob("*.py"))
    )


def product() -> tuple[Source, ...]:
    """Every Python file of the product's packages."""
    return sources(*PACKAGES, *LEFT_OUT)


def surroundings() -> tuple[Source, ...]:
    """Every Python file of tests and benchmarks."""
    return sources("tests", "benchmarks")


def broken(rule: Rule, *, among: Sequence[Source] | None = None) -> str:
    """What a rule finds in the product, or in these files: a line each, empty when all is well."""
    return "\n".join(
        finding for source in (product() if among is None else among) for finding in rule(source)
    )


def planted(rule: Rule, text: str, *, path: str = "domain/planted.py") -> bool:
    """Whether a rule finds something in a file that does not exist: how each rule shows that it bites."""
    return any(rule(Source(path, text)))


def kept_files() -> list[Path]:
    """Every file that belongs to the project: tracked, or new and not ignored."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():  # an unpacked archive
        return [path for path in ROOT.rglob("*") if path.is_file() and not _hidden_or_built(path)]
    listed = subprocess.run(
        [git, "-c", f"safe.directory={ROOT}", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    )
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def _hidden_or_built(path: Path) -> bool:
    return any(
        part.startswith(".") or part in {"__pycache__", "build"} for part in path.relative_to(ROOT).parts
    )
