"""Huge pages, as the kernel of this machine gives them."""

import platform
import re
import subprocess
import sys

from runtime import huge_pages
from tests.architecture.source import ROOT

MANY_OBJECTS = """
from pathlib import Path
from runtime import huge_pages
kept = [(number,) for number in range(500_000)]
collapsed = huge_pages.collapse()
huge = [line for line in Path("/proc/self/smaps_rollup").read_text().splitlines() if "AnonHugePages" in line]
print(collapsed // 1024, huge[0].split()[1], sum(number for (number,) in kept))
"""

LITTLE_IN_USE = """
import mmap, re
from pathlib import Path
from runtime import huge_pages
region = mmap.mmap(-1, 64 * huge_pages.PAGE_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
for page in range(0, len(region), huge_pages.PAGE_BYTES):
    region[page] = 1
for _ in range(2):
    print(*re.findall(r"Rss: +(\\d+) kB", Path("/proc/self/smaps_rollup").read_text()))
    huge_pages.collapse()
"""


def test_what_a_process_keeps_is_in_huge_pages_afterwards_and_as_it_was():
    collapsed, huge, total = map(int, printed(MANY_OBJECTS).split())

    assert 500_000 * 499_999 // 2 == total
    assert collapsed == huge
    assert has_any() == (collapsed > 0)


def test_a_region_of_which_little_is_in_use_does_not_grow():
    before, after = map(int, printed(LITTLE_IN_USE).split())

    assert after - before < 16 * 1024


def test_an_administrator_who_wants_none_gets_none(tmp_path, monkeypatch):
    said = tmp_path / "enabled"
    said.write_text("always madvise [never]\n")
    monkeypatch.setattr(huge_pages, "_SYSTEM", said)
    assert 0 == huge_pages.collapse()

    monkeypatch.setattr(huge_pages, "_SYSTEM", tmp_path / "missing")
    assert not huge_pages.is_wanted()


def has_any() -> bool:
    """Whether the kernel knows the call, which is of Linux 6.1, and may give any."""
    release = re.match(r"(\d+)\.(\d+)", platform.release())
    assert release is not None
    return huge_pages.is_wanted() and (int(release[1]), int(release[2])) >= (6, 1)


def printed(program: str) -> str:
    """What a process of its own prints, which holds little besides."""
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, check=True, text=True, timeout=300
    )
    return ran.stdout
