"""Programs of tests/devservers/test_forking.py: `python -m tests.devservers.describing` and what it is to do."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

from devservers import child

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE)


def described():
    """What a program may ask about its process, and what it has for itself alone."""
    return {
        "arguments": sys.argv,
        "module": sys.modules["__main__"].__spec__.name,
        "directory": str(Path.cwd()),
        "environment": dict(os.environ),
        "leads_its_session": os.getsid(0) == os.getpid(),
        "user": os.getresuid(),
        "nice": os.getpriority(os.PRIO_PROCESS, 0),
        "handlers": {each.name: str(signal.getsignal(each)) for each in SIGNALS},
        "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        "input": sys.stdin.read(),
        "terminal": sys.stdout.isatty(),
        "threads": threading.active_count(),
        "umask": os.umask(0o022),
    }, {"number": random.random(), "forked": "tests.forked" in sys.modules, "parent": os.getppid()}


def main(what, *how):
    """Do what is asked for."""
    if what == "describe":
        print(json.dumps(described()))
    elif what == "start":
        command = [sys.executable, "-m", "tests.devservers.describing", "describe"]
        child.popen(command, stdin=subprocess.DEVNULL, start_new_session=True).wait()
    elif what == "exit":
        sys.exit(int(how[0]))
    elif what == "refuse":
        sys.exit("refused")
    elif what == "signal":
        os.kill(os.getpid(), int(how[0]))


if __name__ == "__main__":
    main(*sys.argv[1:])
