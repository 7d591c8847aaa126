"""`python -m benchmarks`: ours, the limit and the peer in the same run, as one table and as docs/benchmarks.md.

`--only NAME` asks one question, `--json` prints an object a row, `--quick` shows in a minute that everything runs,
`--compare FILE` fails on ratios that are worse than in an earlier output of `--json`.
"""

import argparse
import multiprocessing
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from benchmarks import (
    append,
    append_hot,
    audited,
    boundary,
    buying,
    check_only,
    command,
    comparing,
    condition,
    growth,
    identified,
    importing,
    kafka_clients,
    long_stream,
    page,
    read,
    rebuild,
    relay,
    replay,
    reveal_fields,
    sealing,
    search,
    table,
    visible,
)
from benchmarks.laboratory import Laboratory
from benchmarks.measuring import TINY, Size
from benchmarks.table import Row
from runtime import collecting, telemetry

QUESTIONS: Final[Mapping[str, Callable[[Laboratory], Iterator[Row]]]] = {
    module.NAME: module.rows
    for module in (
        append,
        append_hot,
        condition,
        check_only,
        long_stream,
        boundary,
        command,
        identified,
        rebuild,
        replay,
        sealing,
        read,
        reveal_fields,
        search,
        growth,
        audited,
        # What asks a whole shop comes last: at tiny size they share one, which no other needs meanwhile.
        relay,
        kafka_clients,
        visible,
        buying,
        importing,
    )
}
PAGE: Final = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"


def main() -> int:
    """Run what is asked for; 0 unless something could not be measured."""
    given = argparse.ArgumentParser(prog="make bench", description=__doc__)
    given.add_argument("--only", action="append", choices=list(QUESTIONS), help="ask this question only")
    given.add_argument("--json", action="store_true", help="print one JSON object a row")
    given.add_argument("--quick", action="store_true", help="tiny sizes, one round: figures mean nothing")
    given.add_argument("--seconds", type=float, default=Size().seconds, help="length of one round of a rate")
    given.add_argument(
        "--events", type=int, default=Size().growth_events, help="events in growth's large log"
    )
    given.add_argument(
        "--file",
        type=Path,
        help="the online-retail file to import (without it one is generated), and to audit",
    )
    given.add_argument("--compare", type=Path, metavar="FILE", help="an earlier output of --json")
    given.add_argument("--any-machine", action="store_true", help="compare with another machine's output too")
    arguments = given.parse_args()
    try:
        baseline = _baseline(arguments)
    except comparing.UnfitBaseline as error:
        given.error(str(error))
    size = TINY if arguments.quick else Size(seconds=arguments.seconds, growth_events=arguments.events)
    telemetry.configure_logging("error", process="benchmarks")
    collecting.collect_seldom()  # as every process of the command does
    # Workers need not import all of it, each for itself.
    multiprocessing.set_forkserver_preload(["benchmarks.__main__"])
    chosen = arguments.only or list(QUESTIONS)
    rows: list[Row] = []
    failed: list[str] = []
    with Laboratory(size, import_file=arguments.file and arguments.file.absolute()) as laboratory:
        for name in chosen:
            started = time.monotonic()
            try:
                for row in QUESTIONS[name](laboratory):
                    rows.append(row)
                    if arguments.json:
                        print(table.as_json(row, machine=page.machine()), flush=True)
            except Exception:  # noqa: BLE001 - one question that fails takes no other with it
                failed.append(name)
                traceback.print_exc()
            print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
        versions = laboratory.versions
    if not arguments.json:
        print(table.as_text(rows))
    if not arguments.only and not arguments.quick and not failed:
        page.write(PAGE, rows, versions)
        print(f"written: {PAGE.name}", file=sys.stderr)
    if failed:
        print(f"not measured: {', '.join(failed)}", file=sys.stderr)
    worse = comparing.worse(rows, baseline, asked=chosen)
    for finding in worse:
        print(f"worse: {finding}", file=sys.stderr)
    return 1 if failed or worse else 0


def _baseline(arguments: argparse.Namespace) -> list[comparing.Stored]:
    """What to compare with, before anything is measured.

    Raises:
        UnfitBaseline: it cannot be compared with.
    """
    if arguments.compare is None:
        return []
    if arguments.quick:
        raise comparing.UnfitBaseline("figures of --quick mean nothing: there is nothing to compare")
    return comparing.read(arguments.compare, machine=page.machine(), any_machine=arguments.any_machine)


if __name__ == "__main__":
    sys.exit(main())
