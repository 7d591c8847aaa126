"""Which servers would be started here, without starting one: what `counterfoil doctor` says about them."""

import subprocess
from collections.abc import Callable, Mapping
from typing import Final

from devservers import kafka, postgres, programs, redis, unprivileged
from devservers.programs import Candidate, Program

Inspect = Callable[[Candidate], Program]


def would_start(name: str) -> Program | None:
    """The program that would be started as this server, None if none is found. For Kafka it is its Java."""
    candidates, inspect = _WAYS[name]
    for candidate in candidates():
        try:
            return inspect(candidate)
        except (OSError, ValueError, subprocess.SubprocessError):
            continue
    return None


def _inspect_postgres(candidate: Candidate) -> Program:
    return unprivileged.runnable(candidate, user=unprivileged.user_for_postgres())


def _inspect(flag: str) -> Inspect:
    return lambda candidate: programs.inspected(candidate, version_flag=flag)


_WAYS: Final[Mapping[str, tuple[Callable[[], list[Candidate]], Inspect]]] = {
    "postgres": (postgres.candidates, _inspect_postgres),
    "redis": (redis.candidates, _inspect("--version")),
    "kafka": (kafka.java_candidates, _inspect("-version")),
}
