"""What is installed is what was locked: pip refuses a wheel of which a single byte differs."""

import hashlib
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.supply_chain.locks import LOCKS, ROOT, locked

INSTALLING = ("Makefile", "deploy/Dockerfile")
WHEEL = "locked-1.0-py3-none-any.whl"
INSTALL_S_MAX = 300


def installs(text: str) -> list[str]:
    """Every command of a file that has pip install something, on one line."""
    joined = re.sub(r"\\\n\s*", " ", text)
    return re.findall(r"(?:\$\(PIP\)|bin/pip) install ([^&|\n]*)", joined)


def unlocked(install: str) -> bool:
    return "--require-hashes" not in install and not {"--no-index", "--no-deps"} <= set(install.split())


@pytest.mark.parametrize("file", INSTALLING)
def test_every_install_requires_hashes_or_takes_nothing_from_the_network(file: str):
    found = installs((ROOT / file).read_text())

    assert found
    assert [] == [install for install in found if unlocked(install)]


@pytest.mark.parametrize(
    "line", ["$(PIP) install -r requirements/dev.txt", "bin/pip install --no-index httpx"]
)
def test_an_install_without_hashes_is_found(line: str):
    assert [True] == [unlocked(install) for install in installs(line)]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_package_of_a_lock_has_hashes(lock: Path):
    named = re.findall(r"^\w[\w.-]*(?=\[|==)", lock.read_text(), re.MULTILINE)

    assert sorted(named) == sorted(package.name for package in locked([lock]))
    assert all(locked([lock]).values())


def test_a_wheel_of_which_one_byte_was_changed_is_not_installed(tmp_path: Path):
    wheel = tmp_path / "wheels" / WHEEL
    _build(wheel)
    lock = tmp_path / "lock.txt"
    lock.write_text(f"locked==1.0 --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n")

    accepted = _install(lock, wheel.parent, into=tmp_path / "first")
    wheel.write_bytes(wheel.read_bytes().replace(b"sold = 1", b"sold = 2"))
    refused = _install(lock, wheel.parent, into=tmp_path / "second")

    assert 0 == accepted.returncode, accepted.stderr
    assert (tmp_path / "first" / "locked.py").exists()
    assert 1 == refused.returncode
    assert "DO NOT MATCH THE HASHES" in refused.stderr
    assert not (tmp_path / "second").exists()


def _build(wheel: Path) -> None:
    wheel.parent.mkdir()
    about = "Metadata-Version: 2.1\nName: locked\nVersion: 1.0\n"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("locked.py", "sold = 1\n")
        archive.writestr("locked-1.0.dist-info/METADATA", about)
        archive.writestr("locked-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("locked-1.0.dist-info/RECORD", "")


def _install(lock: Path, wheels: Path, *, into: Path) -> subprocess.CompletedProcess[str]:
    """With the options of the Makefile, but from a folder instead of the network."""
    (first, *_) = installs((ROOT / "Makefile").read_text())
    options = first.partition(" -r ")[0].split()
    assert "--require-hashes" in options
    return subprocess.run(
        [
            *(sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check", "--no-cache-dir"),
            *(
                "install",
                *options,
                "--no-index",
                "-f",
                str(wheels),
                "--target",
                str(into),
                "-r",
                str(lock),
            ),
        ],
        capture_output=True,
        check=False,
        text=True,
        timeout=INSTALL_S_MAX,
    )
