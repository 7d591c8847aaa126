"""Somebody who types the blocks of a page into one terminal."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

SHOWN_WITHIN_S = 240
ASKED_AGAIN_AFTER_S = 0.3
END_OF_BLOCK = "--end of block--"
ANYTHING = "…"
WAITED = re.compile(r"^waits until .*\n", re.MULTILINE)
"""What is said while one waits: a machine that is fast enough says nothing of it."""


class Terminal:
    """A shell in a directory: what one block exports or starts is there for the next."""

    def __init__(self, directory: Path, environment: Mapping[str, str], *, programs: Path) -> None:
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("COUNTERFOIL_") and name != "PYTHONPATH"
        }
        self._shell = subprocess.Popen(
            ["sh"],
            cwd=directory,
            env={**kept, "PATH": f"{programs}:{os.environ['PATH']}", **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def types(self, block: str) -> str:
        """What the commands of a block print."""
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        self._shell.stdin.write(f"{block}\necho '{END_OF_BLOCK}'\n")
        self._shell.stdin.flush()
        printed = []
        while (line := self._shell.stdout.readline()) != f"{END_OF_BLOCK}\n":
            assert line, "the shell has ended"
            printed.append(line)
        return "".join(printed)

    def shows(self, commands: str, expected: str, *, reads: bool) -> None:
        """The block prints what the page says; what only reads is asked again for a while."""
        wanted = re.compile(pattern(expected))
        give_up = time.monotonic() + SHOWN_WITHIN_S
        while True:
            printed = self.types(commands)
            if wanted.fullmatch(WAITED.sub("", printed)):
                return
            if not reads or time.monotonic() > give_up:
                pytest.fail(f"{commands}\nprinted\n{printed}\nnot\n{expected}")
            time.sleep(ASKED_AGAIN_AFTER_S)

    def close(self) -> None:
        """End the shell and what it has started."""
        os.killpg(self._shell.pid, signal.SIGTERM)
        self._shell.communicate(timeout=120)


def pattern(expected: str) -> str:
    """What a page shows as an expression: a line of dots is any number of lines, dots in a line are anything."""
    return "".join(
        "(?:.*\n)*" if line == f"{ANYTHING}\n" else re.escape(line).replace(ANYTHING, ".*")
        for line in expected.splitlines(keepends=True)
    )
