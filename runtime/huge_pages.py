"""Huge pages for the memory that a process keeps.

Python's objects lie all over, and where the processor does not know a page a virtual machine walks through two tables
for it. CPython asks for memory by the mebibyte, of which the kernel makes no pages of two mebibytes by itself; so a
thread asks for them, of what is there by then: `MADV_COLLAPSE`, madvise(2), of Linux 6.1 and newer.

There are none where /sys/kernel/mm/transparent_hugepage/enabled says `never`, where the kernel is older, and where no
memory is left in one piece; then all stays as it is.
"""

import ctypes
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

PAGE_BYTES: Final = 2 * 1024 * 1024
FIRST_S: Final = 10.0
"""How long a process has started by when most of what it keeps is there."""
EVERY_S: Final = 60.0
"""How often it is done again, for what was asked of the kernel since."""
BETWEEN_S: Final = 0.01
"""Pause behind each page: to fill one takes some milliseconds, in which other threads wait for what is in it."""

_COLLAPSE: Final = 25  # its number in the kernel; C libraries did not name it at first
_SYSTEM: Final = Path("/sys/kernel/mm/transparent_hugepage/enabled")
_MAPS: Final = Path("/proc/self/smaps")
_PRIVATE: Final = re.compile(r"([0-9a-f]+)-([0-9a-f]+) rw-p 0+ 00:00 0 +(?:\[heap\])?$")
_RESIDENT: Final = re.compile(r"Rss: +(\d+) kB$")

_library = ctypes.CDLL(None)
_library.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)

_once = threading.Lock()


def keep_asking() -> None:
    """Collapse soon, and every now and then, in a thread that ends with the process. Once is enough."""
    if _once.acquire(blocking=False):
        threading.Thread(target=_ask, name="huge pages", daemon=True).start()


def _ask() -> None:
    time.sleep(FIRST_S)
    while True:
        collapse(between_s=BETWEEN_S)
        time.sleep(EVERY_S)


def collapse(*, between_s: float = 0.0) -> int:
    """Have the kernel put this process's memory into huge pages; how many bytes are in some by now."""
    if not is_wanted():
        return 0
    collapsed = 0
    for begin, end in list(_kept()):
        for page in range(-(-begin // PAGE_BYTES) * PAGE_BYTES, end - PAGE_BYTES + 1, PAGE_BYTES):
            if _library.madvise(page, PAGE_BYTES, _COLLAPSE) == 0:
                collapsed += PAGE_BYTES
            time.sleep(between_s)
    return collapsed


def is_wanted() -> bool:
    """Whether the system has huge pages, and its administrator does not want none."""
    try:
        return "[never]" not in _SYSTEM.read_text()
    except OSError:
        return False


def _kept() -> Iterator[tuple[int, int]]:
    """Begin and end of regions of which at least half is in use: a stack is not, and would only grow by it."""
    region = None
    for line in _MAPS.read_text().splitlines():
        if (found := _PRIVATE.match(line)) is not None:
            region = int(found[1], 16), int(found[2], 16)
        elif region is not None and (resident := _RESIDENT.match(line)) is not None:
            begin, end = region
            if int(resident[1]) * 1024 * 2 >= end - begin:
                yield region
            region = None
