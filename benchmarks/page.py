"""Writes the measured part of docs/benchmarks.md, between two marks; what people wrote around it stays."""

import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

from benchmarks import table
from benchmarks.table import Row

BEGIN: Final = "<!-- measured: written by make bench -->"
END: Final = "<!-- end of measured -->"
LIBRARIES: Final = (
    "psycopg", "uvloop", "uvicorn", "fastapi", "msgspec", "pydantic", "kafka-python", "confluent-kafka",
    "redis", "eventsourcing",
)  # fmt: skip


def write(file: Path, rows: Sequence[Row], versions: Mapping[str, str]) -> None:
    """Replace what stands between the marks."""
    text = file.read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    assert begin, f"{file.name} has lost its first mark"
    assert end, f"{file.name} has lost its second mark"
    file.write_text(f"{before}{BEGIN}\n\n{measured(rows, versions)}\n{END}{after}")


def measured(rows: Sequence[Row], versions: Mapping[str, str]) -> str:
    """The table, and with what it was measured."""
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    servers = ", ".join(f"{name} {what}" for name, what in sorted(versions.items()))
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {machine()},"
        f" {platform.system()} {platform.release()}, Python {platform.python_version()}.\n"
        f"Servers: {servers}. Libraries: {libraries}.\n\n{table.as_markdown(rows)}"
    )


def machine() -> str:
    """What makes ratios of two runs comparable."""
    return f"{os.cpu_count()} cores ({_processor()})"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
