"""Known vulnerabilities of what is locked: pip-audit asks a service that speaks the protocol of OSV.

pip-audit ends with 1 both when it found something and when it could not ask. Here only its report counts: without one
that names every package, nothing is known to be clean.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tests.supply_chain.examined import FOUND, IN_ORDER, NOT_EXAMINED, PARTLY, Examined
from tests.supply_chain.locks import PRODUCTION, Package, locked

WHAT: Final = "known vulnerabilities"
OSV_URL: Final = "https://api.osv.dev/v1/query"
ANSWER_S_MAX: Final = 15
"""Seconds that the service may take for one package."""

AUDIT_S_MAX: Final = 600
_PIP_AUDIT: Final = (
    *(sys.executable, "-m", "pip_audit", "--require-hashes", "--disable-pip", "--progress-spinner", "off"),
    *("--format", "json", "--desc", "off", "--timeout", str(ANSWER_S_MAX), "--vulnerability-service", "osv"),
)


def examine(locks: Sequence[Path], *, osv_url: str = OSV_URL) -> Examined:
    """Ask the service about every package of these locks that this machine would install."""
    command = [*_PIP_AUDIT, "--osv-url", osv_url]
    for lock in locks:
        command += ["--requirement", str(lock)]
    try:
        asked = subprocess.run(command, capture_output=True, check=False, text=True, timeout=AUDIT_S_MAX)
    except subprocess.TimeoutExpired:
        return Examined(WHAT, NOT_EXAMINED, (f"{osv_url} did not answer within {AUDIT_S_MAX} s",))
    try:
        answers = json.loads(asked.stdout)["dependencies"]
    except (json.JSONDecodeError, KeyError, TypeError):
        return Examined(WHAT, NOT_EXAMINED, (f"{osv_url} could not be asked", *_last_line(asked.stderr)))
    return _judged(answers, wanted=set(locked(locks, here=True)))


def _judged(answers: Sequence[dict[str, Any]], *, wanted: set[Package]) -> Examined:
    answered = {Package(each["name"], each["version"]): each["vulns"] for each in answers if "vulns" in each}
    production = locked(PRODUCTION)
    found = tuple(
        f"{package.name} {package.version}{' (production)' if package in production else ''}: {_said(each)}"
        for package, vulnerabilities in sorted(answered.items())
        for each in vulnerabilities
    )
    left_out = tuple(
        f"{each.name} {each.version} was not examined" for each in sorted(wanted - set(answered))
    )
    if found:
        return Examined(WHAT, FOUND, (*found, *left_out))
    return Examined(WHAT, PARTLY if left_out else IN_ORDER, left_out)


def _said(vulnerability: dict[str, Any]) -> str:
    names = ", ".join([vulnerability["id"], *sorted(vulnerability["aliases"])])
    return f"{names}; {' or '.join(vulnerability['fix_versions']) or 'no version'} mends it"


def _last_line(text: str) -> list[str]:
    return text.strip().splitlines()[-1:]
