"""Programs for a shell that are forked as `tests/forking.py` forks, by the process that has written them.

Such a program is `tests/handing_over.py`, a Python of some milliseconds: it hands over its arguments, environment,
directory and outputs, passes on signals, and ends as the forked process ends. Nothing is forked at full size
(`tests/sizes.py`).
"""

import contextlib
import json
import os
import runpy
import shlex
import signal
import socket
import sys
import threading
from multiprocessing import connection
from pathlib import Path

from devservers import child
from tests import forking, sizes

HANDING_OVER = Path(__file__).with_name("handing_over.py")
MESSAGE_BYTES = 65_536


def write(program, *command):
    """Write a program that is a command, with the arguments that it is given."""
    program.write_text(f'#!/bin/sh\nexec {shlex.join(map(str, command))} "$@"\n')
    program.chmod(0o755)


@contextlib.contextmanager
def written(program, *, module, address, python=sys.executable):
    """A program that runs a module; as long as this lasts its processes are forked.

    `address` is where it asks for one, a file that is not there yet; `python` is what else runs it.
    """
    if sizes.FULL:
        write(program, python, "-m", module)
        yield
        return
    write(program, python, "-I", "-S", HANDING_OVER, address)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(address))
        listening.listen()
        threading.Thread(target=_serve, args=(listening, module), daemon=True).start()
        try:
            yield
        finally:
            listening.shutdown(socket.SHUT_RDWR)


def main(program, address, *arguments):
    """Run `counterfoil` with these arguments; what it starts is forked, and so is what is typed meanwhile."""
    child.popen = forking.popen
    with written(Path(program), module="counterfoil", address=address):
        sys.argv = ["counterfoil", *arguments]
        runpy.run_module("counterfoil", run_name="__main__", alter_sys=True)


def _serve(listening, module):
    with contextlib.suppress(OSError):  # it is shut down
        while True:
            asking, _ = listening.accept()
            threading.Thread(target=_run, args=(asking, module), daemon=True).start()


def _run(asking, module):
    """One process from its beginning to its end; it is asked to end when who asked for it is gone."""
    with asking:
        sent, outputs, _, _ = socket.recv_fds(asking, MESSAGE_BYTES, 2)
        while not sent.endswith(b"\n"):
            sent += asking.recv(MESSAGE_BYTES)
        given = json.loads(sent)
        try:
            process = forking.popen(
                [sys.executable, "-m", module, *given["arguments"]],
                env=given["environment"],
                cwd=given["directory"],
                stdout=outputs[0],
                stderr=outputs[1],
            )
        finally:
            for each in outputs:
                os.close(each)
        while process.sentinel not in connection.wait([process.sentinel, asking]):
            numbers = asking.recv(1)
            process.send_signal(numbers[0] if numbers else signal.SIGTERM)
            if not numbers:
                return
        with contextlib.suppress(OSError):
            asking.sendall(b"%d\n" % process.wait())
