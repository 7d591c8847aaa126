"""A process that was forked differs from one that was executed in nothing that a test relies on."""

import json
import os
import signal
import socket
import subprocess
import sys
from multiprocessing import forkserver

import pytest

from devservers import child
from tests import forked_programs, forking, sizes

DESCRIBING = (sys.executable, "-m", "tests.devservers.describing")


def start(popen, directory, *what, **environment):
    """Run one of the programs to its end: exit code, and what it printed and complained of."""
    given = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "PYTHONPATH": str(forking.PROJECT), **environment}
    printed, complaints = directory / "printed", directory / "complaints"
    with printed.open("w") as output, complaints.open("w") as errors:
        process = popen(
            [*DESCRIBING, *what],
            env=given,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            start_new_session=True,
        )
        code = process.wait(60)
    return code, printed.read_text(), complaints.read_text()


def forked(command, **given):
    """At any size."""
    return forking.popen(command, before=int, **given)


def test_a_forked_process_describes_itself_as_an_executed_one_does(tmp_path):
    (_, executed, _), (_, one, _), (_, another, _) = (
        start(popen, tmp_path, "describe", COUNTERFOIL_HOME="here")
        for popen in (subprocess.Popen, forked, forked)
    )
    (same, executed_alone), (forked_said, alone), (_, of_another) = map(json.loads, (executed, one, another))

    assert same == forked_said
    assert (False, True) == (executed_alone["forked"], alone["forked"])
    assert alone["number"] != of_another["number"], "both draw the same lots"


def test_what_a_forked_process_starts_is_forked_from_where_it_was_itself(tmp_path):
    (_, one, _), (_, printed, _) = (start(forked, tmp_path, what) for what in ("describe", "start"))

    assert json.loads(one)[1]["parent"] == json.loads(printed)[1]["parent"]


@pytest.mark.parametrize(
    "end",
    [
        ("exit", "0"),
        ("exit", "78"),
        ("refuse",),
        ("signal", str(int(signal.SIGKILL))),
        ("signal", str(int(signal.SIGTERM))),
    ],
    ids=" ".join,
)
def test_a_forked_process_ends_with_the_code_of_an_executed_one(end, tmp_path):
    assert start(subprocess.Popen, tmp_path, *end) == start(forked, tmp_path, *end)


def test_a_forked_process_that_is_killed_is_gone(tmp_path):
    process = forked([*DESCRIBING, "describe"], cwd=tmp_path, stdout=subprocess.DEVNULL)
    process.kill()

    assert process.wait(60) in {0, -signal.SIGKILL}
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)


def test_who_is_gone_before_it_has_asked_for_a_process_ends_no_others(tmp_path):
    start(forked, tmp_path, "exit", "0")
    forks = forkserver._forkserver._forkserver_pid
    with socket.socket(socket.AF_UNIX) as gone:
        gone.connect(forkserver._forkserver._forkserver_address)

    assert 0 == start(forked, tmp_path, "exit", "0")[0]
    assert forks == forkserver._forkserver._forkserver_pid


def test_other_programs_and_other_sources_are_executed(tmp_path):
    started = [
        child.popen([sys.executable, "-c", ""]),
        child.popen(
            [sys.executable, "-m", "this"], env={"PYTHONPATH": "/elsewhere"}, stdout=subprocess.DEVNULL
        ),
        child.popen(["/bin/true"]),
        child.popen([*DESCRIBING, "exit", "0"], user=os.getuid()),
    ]

    assert [0] * len(started) == [each.wait(60) for each in started]
    assert {subprocess.Popen} == {type(each) for each in started}


def test_a_process_is_forked_with_a_folder_that_takes_the_place_of_nothing(tmp_path):
    (tmp_path / "of_nobody_else.py").touch()
    (tmp_path / "__pycache__").mkdir()
    given = {"PYTHONPATH": str(tmp_path)}

    assert [DESCRIBING[-1]] == forking._forked(DESCRIBING, given, {})
    (tmp_path / "json.py").touch()
    assert forking._forked(DESCRIBING, given, {}) is None


def test_a_program_of_a_shell_is_forked_prints_and_ends_as_the_forked_process_does(tmp_path):
    program = tmp_path / "describing"
    with forked_programs.written(program, module=DESCRIBING[-1], address=tmp_path / "asked"):
        described, exited, killed = (
            subprocess.run([program, *what], cwd=tmp_path, stdout=subprocess.PIPE, check=False)
            for what in (["describe"], ["exit", "78"], ["signal", str(int(signal.SIGKILL))])
        )
    same, alone = json.loads(described.stdout)

    assert (["describe"], str(tmp_path)) == (same["arguments"][1:], same["directory"])
    assert sizes.FULL is not alone["forked"]
    assert (0, 78, -signal.SIGKILL) == (described.returncode, exited.returncode, killed.returncode)
