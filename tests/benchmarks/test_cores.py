import os
import subprocess
import sys

from benchmarks import cores
from benchmarks.cores import Spent

BUSY = "import time\nwhile time.process_time() < 0.3: pass"


def test_cores_used_are_seconds_of_processor_time_over_the_time_that_passed():
    before, after = Spent(10.0, {"relay": 1.0}), Spent(20.0, {"relay": 3.0})

    assert {"relay": 0.2} == after.since(before)


def test_a_process_that_was_started_anew_counts_from_its_start():
    before, after = Spent(0.0, {"relay": 5.0}), Spent(10.0, {"relay": 1.0})

    assert {"relay": 0.1} == after.since(before)


def test_what_a_child_used_counts_also_when_it_has_ended():
    before = cores.spent({"tests": os.getpid()})
    subprocess.run([sys.executable, "-c", BUSY], check=True)

    assert 0.25 <= cores.spent({"tests": os.getpid()}).seconds["tests"] - before.seconds["tests"]


def test_a_process_that_is_gone_used_nothing():
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()

    assert {"gone": 0.0} == cores.spent({"gone": gone.pid}).seconds


def test_the_virtual_machine_is_apart():
    assert 0.75 == cores.without_jvm({"relay": 0.25, "kafka": 3.0, "postgres": 0.5})
