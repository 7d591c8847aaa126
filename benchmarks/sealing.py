"""How fast is a log sealed, a bundle of it checked offline, and a proof found, each in one process?

Sealing reads every row twice, writes tiles and signs a checkpoint for each 20,480 events; its limit is reading and
decoding the same rows once (as `replay` does). The check is the one that auditors run; it holds nothing of the log in
memory. It and the proofs are measured in processor time: they wait for nobody.
"""

import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from benchmarks import shop_events
from benchmarks.laboratory import Laboratory
from benchmarks.measuring import in_turns, percentile
from benchmarks.replay import replayed
from benchmarks.table import Goal, Row
from event_store.proofs import checking, exporting, merkle, proving
from event_store.proofs.note import SignerKey
from event_store.proofs.tiles import Directory
from runtime import database
from tests.event_store.proofs import sealing

NAME: Final = "seal"
EVENTS: Final = 300_000
PROOFS: Final = 1_000
CHECK_GOALS: Final = (Goal("ours", at_least=50_000),)
PROOF_GOALS: Final = (Goal("ours", at_most=5.0),)


def rows(laboratory: Laboratory) -> Iterator[Row]:
    """Three rows."""
    count = laboratory.size.count(EVENTS, tiny=1_000)
    with laboratory.database() as url, tempfile.TemporaryDirectory() as folder:
        events = shop_events.fill(url, shop_events.history(count))
        tiles, file = Path(folder) / "tiles", Path(folder) / "a.bundle"
        found = in_turns(
            {
                "seal": lambda: _sealed(url, tiles, events=events),
                "read": lambda: replayed(url, events=events),
            },
            rounds=laboratory.size.rounds,
        )
        tree = proving.published(Directory(tiles))
        with (
            database.connect(url, role="counterfoil_reader", name="benchmark") as connection,
            file.open("wb") as output,
        ):
            output.writelines(exporting.of_range(connection, tree, first=1, last=events))
        checked = in_turns({"ours": lambda: _checked(file, events=events)}, rounds=laboratory.size.rounds)
        proofs = _proofs(tree, count=min(PROOFS, events))
    yield Row(
        name=NAME,
        case="sealing a log that is there, one process",
        unit="events/s",
        ours=found["seal"],
        limit=found["read"],
        limit_name="reading and decoding it once",
    )
    yield Row(
        name=NAME,
        case="checking a bundle offline, a second of one core",
        unit="events/s",
        ours=checked["ours"],
        goals=CHECK_GOALS,
    )
    yield Row(
        name=NAME,
        case=f"p99 of an inclusion proof in {events:,} events, from tiles on disk",
        unit="ms",
        ours=percentile(proofs, 0.99) * 1000,
        goals=PROOF_GOALS,
    )


def _sealed(url: str, tiles: Path, *, events: int) -> float:
    """Each round begins a tree of its own."""
    shutil.rmtree(tiles, ignore_errors=True)
    key = SignerKey(f"counterfoil.test/{secrets.token_hex(8)}", secrets.token_bytes(32))
    began = time.perf_counter()
    assert sealing.seal(url, Directory(tiles), key).size == events
    return events / (time.perf_counter() - began)


def _checked(file: Path, *, events: int) -> float:
    began = time.process_time()
    with file.open("rb") as lines:
        checked = checking.check(lines, keys=[])
    assert (checked.events, checked.damaged) == (events, False)
    return events / (time.process_time() - began)


def _proofs(tree: proving.Tree, *, count: int) -> Sequence[float]:
    """What each of so many proofs took, of leaves all over the tree, with no tile read yet."""
    took, size = [], tree.checkpoint.size
    for number in range(count):
        began = time.process_time()
        merkle.inclusion_proof(number * size // count, size, tree.tiles)
        took.append(time.process_time() - began)
    return sorted(took)
