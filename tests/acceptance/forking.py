"""The `counterfoil` command in a process that is forked from one that has imported it before.

It is a process of its own in all that a command can tell: arguments, environment, directory, output, exit code. The
second that Python takes to import everything is paid once, not by each of a hundred commands.
"""

import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from counterfoil.cli import main
from runtime import priority

FORKING = multiprocessing.get_context("forkserver")
FORKING.set_forkserver_preload([
    "pytest",  # the main module of who asks, which every child imports
    __name__,
    "commands.app",
    "counterfoil.applications",
    "counterfoil.contexts",
    "counterfoil.serving",
    "counterfoil.viewing",
    "examples.online_retail.cli",
    "examples.online_retail.importing",
    "read_api.app",
])  # fmt: skip


def started(arguments, *, environment, directory, output, before=None):
    """A command that goes on; what it prints is appended to a file. `before` is called in its process first."""
    process = FORKING.Process(
        target=_become, args=(arguments, environment, directory, output, output, before), name=arguments[0]
    )
    process.start()
    return process


def run(arguments, *, environment, directory, timeout_s):
    """One command to its end: exit code, standard output, standard error.

    Raises:
        subprocess.TimeoutExpired: it took too long, and was killed.
    """
    with tempfile.TemporaryDirectory(prefix="counterfoil-command-") as written:
        output, errors = Path(written) / "output", Path(written) / "errors"
        process = FORKING.Process(
            target=_become, args=(arguments, environment, directory, output, errors), name=arguments[0]
        )
        process.start()
        try:
            process.join(timeout_s)
            if process.exitcode is None:
                raise subprocess.TimeoutExpired(arguments, timeout_s)
            return subprocess.CompletedProcess(
                arguments, process.exitcode, output.read_text(), errors.read_text()
            )
        finally:
            process.kill()
            process.join()
            process.close()


def _become(arguments, environment, directory, output, errors, before=None):
    for number, path in ((1, output), (2, errors)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["counterfoil", *arguments]
    # An audit that gave way to the other runs of the tests would stand for minutes.
    priority.BACKGROUND_NICE = 0
    if before is not None:
        before()
    main.main()
