"""What a program of `tests/forked_programs.py` executes: `python -I -S handing_over.py ADDRESS ARGUMENTS...`."""

import json
import os
import signal
import socket
import sys

PASSED_ON = (signal.SIGTERM, signal.SIGINT)


def main(address, *arguments):
    """Hand over what was typed; the exit code of the process that was forked for it."""
    asking = socket.socket(socket.AF_UNIX)
    asking.connect(address)
    for number in PASSED_ON:
        signal.signal(number, lambda number, _: asking.sendall(bytes([number])))
    given = {"arguments": arguments, "environment": dict(os.environ), "directory": os.getcwd()}  # noqa: PTH109
    socket.send_fds(asking, [json.dumps(given).encode() + b"\n"], [1, 2])
    code = int(asking.makefile().readline())
    if code < 0:
        if -code in PASSED_ON:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
