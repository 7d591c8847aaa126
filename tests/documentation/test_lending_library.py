"""The how-to page does what it says, block by block, with an installed wheel outside of the checkout."""

import json
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests import forked_programs, sizes
from tests.acceptance.running import Up
from tests.architecture.source import LEFT_OUT, PACKAGES
from tests.documentation.pages import ROOT, Page
from tests.documentation.terminal import Terminal

pytestmark = pytest.mark.slow

PAGE = Page(ROOT / "docs/how-to/lending-library.md", (ROOT / "docs/how-to/lending-library.md").read_text())
UP = "counterfoil up"
READS = ("curl -s localhost:8081", "counterfoil replay", "counterfoil parked list")
"""How blocks begin that only read: what they show needs a moment."""

RESTARTING = "\nsleep 1\n"
"""What a block does while roles start again; a command that is forked would often come before them."""
UNTIL_READY = "until curl -sf localhost:8080/readyz >ready; do sleep 0.1; done\n"

BUILD = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
WHERE = "import counterfoil.api, domain, commands; print(counterfoil.__file__, domain.__file__, commands.__file__)"

FORKING = ("forked.py", "forked_programs.py", "forking.py", "handing_over.py", "sizes.py")
"""Ours of which an environment without the checkout has a copy, and how it begins with them."""
HOSTING = """
import sys
sys.path.insert(0, sys.argv[1])
from tests import forked_programs
forked_programs.main(*sys.argv[2:])
"""


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Programs of an environment outside of the checkout that has our wheels, and finds everything else in ours."""
    directory = tmp_path_factory.mktemp("installed")
    source, wheels = directory / "source", directory / "wheels"
    for package in (*PACKAGES, *LEFT_OUT):
        shutil.copytree(
            ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__", "build")
        )
    for name in ("pyproject.toml", "LICENSE"):
        shutil.copy(ROOT / name, source)
    wheels.mkdir()
    for project in (source, source / "devservers"):
        subprocess.run(
            [sys.executable, "-c", BUILD, str(wheels)], cwd=project, check=True, capture_output=True
        )
    environment = directory / "environment"
    venv.create(environment, symlinks=True)
    [site] = environment.glob("lib/python3*/site-packages")
    # What a line of a .pth file names is on the path, behind this folder; .pth files in there are not read, so that
    # the checkout, which is installed there as editable, is not.
    (site / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    [product] = wheels.glob("counterfoil-*.whl")
    [left_out] = wheels.glob("counterfoil_devservers-*.whl")
    assert not [name for name in ZipFile(product).namelist() if name.startswith(LEFT_OUT)]
    pip = [sys.executable, "-m", "pip", "--quiet", "--python", str(environment), "install", "--no-index"]
    subprocess.run(
        [*pip, "--no-deps", "--no-compile", "--force-reinstall", str(product), str(left_out)], check=True
    )
    return environment / "bin"


@pytest.fixture(scope="module")
def forking_programs(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """What starts `up` in that environment, and a folder of programs: all of them are forked in it while `up` runs."""
    if sizes.FULL:
        return programs / "counterfoil", programs
    directory = tmp_path_factory.mktemp("forking")
    tests, typed = directory / "tests", directory / "typed"
    tests.mkdir()
    typed.mkdir()
    for name in FORKING:
        shutil.copy(ROOT / "tests" / name, tests)
    python = programs / "python"
    forked_programs.write(typed / "python", python)
    hosting = [python, "-c", HOSTING, directory, typed / "counterfoil", directory / "asked"]
    forked_programs.write(directory / "up", *hosting)
    return directory / "up", typed


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A directory with the Python files of the page."""
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "__init__.py").touch()
    for language, text in PAGE.blocks:
        if language == "python":
            (tmp_path / text.partition("\n")[0].removeprefix("# ")).write_text(text)
    return tmp_path


@pytest.fixture
def up(forking_programs: tuple[Path, Path], library: Path) -> Iterator[Up]:
    """What the page starts in another terminal."""
    [block] = [text for language, text in PAGE.blocks if language == "sh" and UP in text]
    (setting,) = block.split(UP, maxsplit=1)[0].split()
    name, _, value = setting.partition("=")
    up = Up(
        library / ".counterfoil",
        program=forking_programs[0],
        cwd=library,
        PYTHONPATH="",
        **{name: value},
    )
    try:
        yield up
    finally:
        up.stop()


@pytest.fixture
def terminal(forking_programs: tuple[Path, Path], library: Path, up: Up) -> Iterator[Terminal]:
    terminal = Terminal(library, {"no_proxy": "localhost,127.0.0.1"}, programs=forking_programs[1])
    try:
        yield terminal
    finally:
        terminal.close()


def test_a_library_is_built_run_killed_parked_audited_and_upgraded_with_the_installed_wheel(
    programs: Path, terminal: Terminal, up: Up
):
    addresses = up.state["addresses"]
    ports = {
        "localhost:8080": addresses["command_api"].removeprefix("http://"),
        "localhost:8081": addresses["query_api"].removeprefix("http://"),
    }
    installed = str(programs.parent.resolve())

    subprocess.run([programs / "counterfoil", "--version"], check=True)
    assert [True] * 3 == [
        place.startswith(installed) for place in terminal.types(f"python -c '{WHERE}'").split()
    ]
    for (language, text), (following, expected) in zip(
        PAGE.blocks, [*PAGE.blocks[1:], ("", "")], strict=True
    ):
        if language == "sh" and UP not in text:
            block = text.replace(RESTARTING, f"{RESTARTING}{UNTIL_READY}")
            for written, real in ports.items():
                block = block.replace(written, real)
            shown = expected if following == "text" else ""
            terminal.shows(block, shown, reads=text.startswith(READS))

    assert up.process.poll() is None
    assert set(json.loads((up.home / "run/state.json").read_text())["processes"]) >= {
        "command-api",
        "query-api",
    }
