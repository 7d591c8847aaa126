"""How fast is a log sealed, a bundle of it checked offline, and a proof found, each in one process?

Sealing reads every row twice, writes tiles and signs a checkpoint for each 20,480 events; its limit is reading and
decoding the same rows once (as `replay` does). The check is the one that auditors run; it holds nothing of the log in
memory. It and the proofs are measured in processor time: they wait for nobody. `sealing_live` asks about a log in use.
"""

import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from benchmarks import sealing_live, shop_events
from benchmarks.laboratory import Laboratory
from benchmarks.measuring import alternating, percentile
from benchmarks.replay import replayed
from benchmarks.table import Goal, Row
from counterfoil.cli.answering import EXIT_INCOMPLETE
from event_store.proofs import checking, exporting, merkle, proving, tiles
from event_store.proofs.note import SignerKey
from event_store.proofs.tiles import Directory, Tiles
from runtime import database
from tests.event_store.proofs import sealing

NAME: Final = "seal"
EVENTS: Final = 300_000
PROOFS: Final = 1_000
LEAVES: Final = 1_000_000
"""Of the tree in which proofs are found: how the log came to it plays no part."""
LEAVES_PER_WRITE: Final = 20_480
PART: Final = 10
"""The check of a bundle is compared with that of this part of it."""
CHECK_S_MAX: Final = 600.0
CHECK_GOALS: Final = (Goal("ours", at_least=50_000),)
MEMORY_GOALS: Final = (Goal("ratio_to_limit", at_most=1.1),)
PROOF_GOALS: Final = (Goal("ours", at_most=5.0),)


def rows(laboratory: Laboratory) -> Iterator[Row]:
    """Four rows, and two of a sealer at work."""
    count = laboratory.size.count(EVENTS, tiny=1_000)
    with laboratory.database() as url, tempfile.TemporaryDirectory() as folder:
        events = shop_events.fill(url, shop_events.history(count))
        folder_of_tiles, file = Path(folder) / "tiles", Path(folder) / "a.bundle"
        found = alternating(
            {
                "seal": lambda: _sealed(url, folder_of_tiles, events=events),
                "read": lambda: replayed(url, events=events),
            },
            rounds=laboratory.size.rounds,
        )
        tree = proving.published(Directory(folder_of_tiles))
        with (
            database.connect(url, role="counterfoil_reader", name="benchmark") as connection,
            file.open("wb") as output,
        ):
            output.writelines(exporting.of_range(connection, tree, first=1, last=events))
            output.flush()
            part = Path(folder) / "a-part.bundle"
            part.write_bytes(b"".join(exporting.of_range(connection, tree, first=1, last=events // PART)))
        checked = alternating({"ours": lambda: _checked(file, events=events)}, rounds=laboratory.size.rounds)
        memory, memory_of_part = _memory_mb(laboratory, file), _memory_mb(laboratory, part)
        leaves = laboratory.size.count(LEAVES, tiny=10_000)
        proofs = _proofs(Path(folder) / "large", leaves=leaves)
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
        case=f"memory of `audit check`, {events:,} events",
        unit="MB",
        ours=memory,
        limit=memory_of_part,
        limit_name=f"of {events // PART:,} events",
        goals=MEMORY_GOALS,
    )
    yield Row(
        name=NAME,
        case=f"p99 of an inclusion proof in {leaves:,} events, from tiles on disk",
        unit="ms",
        ours=percentile(proofs, 0.99) * 1000,
        goals=PROOF_GOALS,
    )
    yield from sealing_live.rows(laboratory)


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


def _memory_mb(laboratory: Laboratory, file: Path) -> float:
    """The largest memory of a process that checks a bundle."""
    with laboratory.python("benchmarks.memory_of_command", "audit", "check", str(file)) as process:
        printed, _ = process.communicate(timeout=CHECK_S_MAX)
    assert process.returncode == EXIT_INCOMPLETE, "everything is in order, and no key was given"
    return int(printed.split()[-1]) / 1024


def _proofs(folder: Path, *, leaves: int) -> Sequence[float]:
    """What each of so many proofs took, of leaves all over a tree, with no tile read yet."""
    store, took, count = Directory(folder), [], min(PROOFS, leaves)
    for start in range(0, leaves, LEAVES_PER_WRITE):
        some = range(start, min(leaves, start + LEAVES_PER_WRITE))
        for name in tiles.extend(store, start, [merkle.leaf_hash(b"%d" % number) for number in some]):
            store.discard(name)
    for number in range(count):
        began = time.process_time()
        merkle.inclusion_proof(number * leaves // count, leaves, Tiles(store, leaves))
        took.append(time.process_time() - began)
    return sorted(took)
