"""Servers that must not outlive this process, whatever ends it.

A process that is killed with SIGKILL runs no clean-up of its own. So a tiny shell knows which processes are in our
care, through a pipe: the pipe closes with us, however we end, and the shell then stops them. (Linux's parent-death
signal would do without a shell, but it is sent when the *thread* that started the server ends, and exists on Linux
only.)
"""

import atexit
import contextlib
import os
import signal
import subprocess
import threading
import time
from typing import Final

_POLL_S: Final = 0.02
_GRACE_TENTHS_S: Final = 150
"""How long the shell waits, in tenths of a second, before it kills what did not stop."""

_SHELL: Final = f"""
trap '' INT TERM HUP
wards=''
while read -r verb ward; do
  case "$verb" in
    keep) wards="$wards $ward" ;;
    drop) rest=''; for one in $wards; do [ "${{one##*:}}" = "$ward" ] || rest="$rest $one"; done; wards="$rest" ;;
  esac
done
[ -n "$wards" ] || exit 0
for one in $wards; do kill -s "${{one%%:*}}" "${{one##*:}}" 2>/dev/null; done
tenths=0
while [ "$tenths" -lt {_GRACE_TENTHS_S} ]; do
  alive=''
  for one in $wards; do kill -0 "${{one##*:}}" 2>/dev/null && alive=yes; done
  [ -n "$alive" ] || exit 0
  sleep 0.1
  tenths=$((tenths + 1))
done
for one in $wards; do kill -s KILL "${{one##*:}}" 2>/dev/null; done
"""


class _Executor:
    """The shell of one process; a forked child has its own or none, never its parent's."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self.wards: dict[int, str] = {}
        self.shell = self._start()

    @staticmethod
    def _start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            ["/bin/sh", "-c", _SHELL],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C on the terminal is for us alone
            bufsize=0,
        )

    def say(self, line: str) -> None:
        assert self.shell.stdin is not None
        try:
            self.shell.stdin.write(line.encode())
        except BrokenPipeError:  # somebody killed the shell: a new one learns everything anew
            self.shell = self._start()
            assert self.shell.stdin is not None
            wards = "".join(f"keep {name}:{pid}\n" for pid, name in self.wards.items())
            self.shell.stdin.write(wards.encode())

    def close(self) -> None:
        """Have everything stopped now. Our children end as children do: they are gone when we have asked for them."""
        assert self.shell.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.shell.stdin.close()
        while self.shell.poll() is None:
            for pid in self.wards:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
            time.sleep(_POLL_S)


_lock = threading.Lock()
_executor: _Executor | None = None


def keep(pid: int, *, stop_signal: signal.Signals) -> None:
    """From now on `pid` gets `stop_signal` when this process ends, and SIGKILL if that does not stop it."""
    global _executor  # noqa: PLW0603  one shell per process
    with _lock:
        if _executor is None or _executor.owner != os.getpid():
            _executor = _Executor()
            atexit.register(_at_exit, _executor)
        name = stop_signal.name.removeprefix("SIG")
        _executor.wards[pid] = name
        _executor.say(f"keep {name}:{pid}\n")


def drop(pid: int) -> None:
    """`pid` has ended and been waited for: its number may be somebody else's from now on."""
    with _lock:
        if _executor is not None and _executor.owner == os.getpid() and pid in _executor.wards:
            del _executor.wards[pid]
            _executor.say(f"drop {pid}\n")


def _at_exit(executor: _Executor) -> None:
    if executor.owner == os.getpid():
        executor.close()
