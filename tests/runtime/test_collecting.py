import subprocess
import sys

from runtime.collecting import YOUNG_OBJECTS_MAX
from tests.architecture.source import ROOT


def test_the_command_has_the_collector_run_seldom_but_run():
    program = (
        "import atexit, gc, sys\n"
        "atexit.register(lambda: print(gc.isenabled(), gc.get_threshold()[0]))\n"
        "sys.argv = ['counterfoil', '--help']\n"
        "from counterfoil.cli import main\n"
        "main.main()\n"
    )

    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, check=True, text=True, timeout=300
    )

    assert f"True {YOUNG_OBJECTS_MAX}" == ran.stdout.splitlines()[-1]


def test_older_objects_are_collected_as_before():
    program = (
        "import gc\n"
        "from runtime import collecting\n"
        "before = gc.get_threshold()\n"
        "collecting.collect_seldom()\n"
        "print(before[1:] == gc.get_threshold()[1:])\n"
    )

    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, check=True, text=True, timeout=300
    )

    assert "True" == ran.stdout.strip()
