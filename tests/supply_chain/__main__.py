"""`make security`: known vulnerabilities of what is locked, the bill of materials of production, rules for the code.

Exit codes: 0 all in order, 1 something was found, 4 a service could not be asked or a tool failed, 3 a part was not
examined. What is not examined is never called clean.
"""

import argparse
import sys
from pathlib import Path

from tests.supply_chain import bill_of_materials, code_rules, vulnerabilities
from tests.supply_chain.examined import code_of
from tests.supply_chain.locks import LOCKS, ROOT


def main() -> int:
    """Run every check, also after one that failed; the exit code."""
    parser = argparse.ArgumentParser(prog="make security ARGS=...", description=__doc__)
    parser.add_argument(
        "--osv-url", default=vulnerabilities.OSV_URL, help="a service with the protocol of OSV"
    )
    parser.add_argument("--folder", default=ROOT / "dist", type=Path, help="where the bill of materials goes")
    chosen = parser.parse_args()
    ended = (
        vulnerabilities.examine(LOCKS, osv_url=chosen.osv_url),
        bill_of_materials.write(chosen.folder),
        code_rules.examine(),
    )
    print(*ended, sep="\n")
    return code_of(ended)


if __name__ == "__main__":
    sys.exit(main())
