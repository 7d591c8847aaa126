"""Programs of ours in processes that are forked from one that has imported them before.

Each is a process of its own in all that a program can tell: arguments, environment, directory, output, session,
signals, exit code. The seconds that Python takes to import everything are paid once in a run of tests, not by each of
hundreds of processes. At full size (`tests/sizes.py`) all are executed, as an operator's are.
"""

import contextlib
import errno
import importlib.util
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
from multiprocessing import connection, forkserver, reduction
from pathlib import Path

from devservers import child
from runtime import priority
from tests import sizes

PROJECT = Path(__file__).resolve().parent.parent
FORKING = multiprocessing.get_context("forkserver")
FORKING.set_forkserver_preload(["tests.forked", __name__, "pytest"])

NOT_PRELOADED = {"eventsourcing"}
"""Packages that `tests.forked` does not import: others can still take their place where a process begins."""

STOPPED_WITHIN_S = 60.0

LOCK = threading.Lock()
"""A start looks for those that have ended: two threads that read one exit code would each have a half of it."""


def popen(command, *, env=None, cwd=None, stdout=None, stderr=None, before=None, **given):
    """What `subprocess.Popen` does; `python -m` of a module of this checkout is forked.

    `before` is called in the process first, which is forked then at any size.
    """
    module = None if sizes.FULL and before is None else _forked(command, env, given)
    if module is None:
        assert before is None, f"{command} cannot be forked"
        return subprocess.Popen(command, env=env, cwd=cwd, stdout=stdout, stderr=stderr, **given)
    session = given.get("start_new_session", False)
    return Forked(
        module, env=env, cwd=cwd, stdout=stdout, stderr=stderr, start_new_session=session, before=before
    )


def run(command, *, env=None, cwd=None, timeout=None, check=False):
    """What `subprocess.run` does that captures output, as text; forked as `popen` forks.

    Raises:
        subprocess.TimeoutExpired: it took too long, and was killed.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        with popen(
            command, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=output, stderr=errors
        ) as process:
            try:
                process.wait(timeout)
            finally:
                process.kill()
        said = []
        for file in (output, errors):
            file.seek(0)
            said.append(file.read().decode())
    ended = subprocess.CompletedProcess(command, process.returncode, *said)
    if check:
        ended.check_returncode()
    return ended


def stop():
    """End what was forked, and what it was forked from: their processor time counts as ours only once we waited."""
    with LOCK:
        for process in multiprocessing.active_children():
            process.kill()
    stopping = threading.Thread(target=forkserver._forkserver._stop, daemon=True)
    stopping.start()
    stopping.join(STOPPED_WITHIN_S)


def outlive_who_asks():
    """Have the process that forks go on when one is gone before it has said what it wants to have forked."""
    received = reduction.recvfds

    def recvfds(*asked):
        try:
            return received(*asked)
        except EOFError as error:
            raise ConnectionAbortedError(errno.ECONNABORTED, "nothing was asked for") from error

    reduction.recvfds = recvfds


class Forked:
    """A process that was forked; it has the methods of `subprocess.Popen` that tests use."""

    def __init__(self, module, *, env, cwd, stdout, stderr, start_new_session, before):
        self.args, self.stdout = module, None
        with contextlib.ExitStack() as stack:
            if stdout == subprocess.PIPE:
                read, stdout = os.pipe()
                stack.callback(os.close, stdout)
                self.stdout = os.fdopen(read, "rb")
            if subprocess.DEVNULL in {stdout, stderr}:
                nowhere = os.open(os.devnull, os.O_WRONLY)
                stack.callback(os.close, nowhere)
                stdout, stderr = (
                    nowhere if each == subprocess.DEVNULL else each for each in (stdout, stderr)
                )
            stdout = _number(stdout, inherited=1)
            stderr = stdout if stderr == subprocess.STDOUT else _number(stderr, inherited=2)
            self._process = FORKING.Process(
                target=_become,
                args=(
                    module,
                    dict(os.environ if env is None else env),
                    cwd,
                    (_Descriptor(stdout), _Descriptor(stderr)),
                    start_new_session,
                    before,
                ),
                name=" ".join(module),
                daemon=True,  # it does not keep us from ending
            )
            with LOCK:
                _run_what_forks()
                self._process.start()
        self.pid = self._process.pid
        self.sentinel = self._process.sentinel

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.stdout is not None:
            self.stdout.close()
        self.wait()

    @property
    def returncode(self):
        return self.poll()

    def poll(self):
        with LOCK:
            return self._process.exitcode

    def wait(self, timeout=None):
        connection.wait([self._process.sentinel], timeout)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired(self.args, timeout)
        return code

    def communicate(self, timeout=None):
        """All that it prints to a pipe, and nothing of its errors."""
        printed = self.stdout.read()
        self.wait(timeout)
        return printed, None

    def send_signal(self, number):
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # it ends at this moment
                os.kill(self.pid, number)

    def terminate(self):
        self.send_signal(signal.SIGTERM)

    def kill(self):
        self.send_signal(signal.SIGKILL)


class _Descriptor:
    """An open file that is sent to the process that it is pickled for; there it is a number."""

    def __init__(self, number):
        self._number = number

    def __reduce__(self):
        return _received, (reduction.DupFd(self._number),)


def _received(sent):
    return sent.detach()


def _run_what_forks():
    """It imports ours from where we do: Python does not tell it, and it passes over what it does not find."""
    if forkserver._forkserver._forkserver_alive_fd is not None:
        return
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(sorted(_sources(os.environ)))
    try:
        forkserver.ensure_running()
    finally:
        del os.environ["PYTHONPATH"]
        if before is not None:
            os.environ["PYTHONPATH"] = before


def _number(file, *, inherited):
    if file is None:
        return inherited
    return file if isinstance(file, int) else file.fileno()


def _forked(command, env, given):
    """The module that a command runs, with its arguments, if it can be forked; else None."""
    if given.keys() - {"stdin", "start_new_session"} or given.get("stdin") not in {None, subprocess.DEVNULL}:
        return None
    match [str(part) for part in command]:
        case [sys.executable, "-P", "-m", *module] | [sys.executable, "-m", *module]:
            further = _sources(os.environ if env is None else env) - _sources(os.environ)
            return module if all(map(_has_only_what_none_imports, further)) else None
    return None


def _sources(environment):
    """The folders from which a process imports ours."""
    return {str(PROJECT), *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))}


def _has_only_what_none_imports(folder):
    """Whether a process that has imported ours can still be given this folder to import from.

    It can where nothing in it takes the place of what is elsewhere.
    """
    return Path(folder).is_dir() and not any(
        name not in NOT_PRELOADED and _is_elsewhere(name, folder)
        for name in {each.name.partition(".")[0] for each in Path(folder).iterdir()} - {"", "__pycache__"}
    )


def _is_elsewhere(name, folder):
    """Whether a module of this name would be imported from another place than this folder, were it not for it."""
    try:
        found = importlib.util.find_spec(name)
    except ValueError:  # it is imported, and nobody knows where from
        return True
    places = [] if found is None else found.submodule_search_locations or [found.origin]
    inside = Path(folder).resolve()
    return not all(Path(place).resolve().is_relative_to(inside) for place in places)


def _become(module, environment, directory, outputs, session, before):
    multiprocessing.current_process().daemon = False  # it may start others
    # They are forked from where it was forked from itself; Python would start a second one to fork from.
    forkserver._forkserver.ensure_running = lambda: None
    if session:
        os.setsid()
    for number, output in enumerate(outputs, start=1):
        os.dup2(output, number)
        os.close(output)
    if directory is not None:
        os.chdir(directory)
    sys.path[:0] = sorted(_sources(environment) - _sources(os.environ))
    assert "tests.forked" in sys.modules, "nothing was imported before"
    assert NOT_PRELOADED.isdisjoint(sys.modules)
    os.environ.clear()
    os.environ.update(environment)
    # As `tests/conftest.py` does, and for the same reason.
    priority.BACKGROUND_NICE = 0
    child.popen = popen
    if before is not None:
        before()
    name, *arguments = module
    sys.argv = [name, *arguments]
    runpy.run_module(name, run_name="__main__", alter_sys=True)
