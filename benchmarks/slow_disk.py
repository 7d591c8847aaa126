"""A disk that takes a millisecond longer for every flush: a small library preloaded into servers, made on the fly."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

SOURCE: Final = Path(__file__).with_name("slow_disk.c")
VARIABLE: Final = "LD_PRELOAD"
COMPILE_S_MAX: Final = 60


class NoCompiler(Exception):
    """There is no C compiler, or it refuses: the rows with a slow disk are left out."""


def compiled(folder: Path) -> Path:
    """The library, made in a folder that other users can read.

    Raises:
        NoCompiler: it cannot be made here.
    """
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise NoCompiler("no C compiler on this machine")
    library = folder / "slow_disk.so"
    command = [compiler, "-O2", "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl"]
    made = subprocess.run(command, capture_output=True, check=False, text=True, timeout=COMPILE_S_MAX)
    if made.returncode:
        raise NoCompiler(made.stderr.strip() or f"{compiler} failed")
    library.chmod(0o755)
    return library


@contextlib.contextmanager
def preloaded(library: Path) -> Iterator[None]:
    """What is started meanwhile has the library loaded."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = str(library)
    try:
        yield
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before
