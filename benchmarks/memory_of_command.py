"""`python -m benchmarks.memory_of_command ...`: `counterfoil ...`, and what it had resident at most as its last line.

It is the kernel's own figure of the process, in KiB: what a parent reads of its children includes its own memory.
"""

import re
import runpy
from pathlib import Path

if __name__ == "__main__":
    try:
        runpy.run_module("counterfoil", run_name="__main__")
    finally:
        found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
        assert found is not None
        print(found[1])
