"""The same facts give the same rows, however they were cut into batches, interleaved or hashed."""

import hashlib
import os
import random
import subprocess
import sys
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import pytest

from domain.event import type_name
from projections.folding import BatchFold, Fact, Versioned
from projections.registry import ORDERED_TYPES, VIEWS
from projections.view import KEYED, Key, Row, View
from tests.histories import Recorded, history
from tests.spec import folded

SEEDS = range(5)
HASH_SEEDS = ("0", "1", "4242")
KEYED_VIEWS = [view for view in VIEWS if view.kind is KEYED]

each_view = pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
each_seed = pytest.mark.parametrize("seed", SEEDS)


def in_log_order(log: Iterable[Recorded], view: View[Any]) -> dict[Key, Row]:
    return folded(view, *(recorded.event for recorded in log))


def in_batches(log: Sequence[Recorded], view: View[Any], *, size: int) -> dict[Key, Row]:
    facts = [
        Fact(
            position=position,
            partition_key=recorded.stream,
            stream=recorded.stream,
            version=0,
            type=type_name(recorded.event),
            leaf=b"",
            event=recorded.event,
        )
        for position, recorded in enumerate(log, start=1)
    ]
    stored: dict[Key, Versioned] = {}
    for start in range(0, len(facts), size):
        batch = BatchFold(view, skips=frozenset(), parked=frozenset())
        keys = batch.gather(facts[start : start + size])
        result = batch.fold({key: stored[key] for key in keys if key in stored})
        assert (None, {}) == (result.halted, result.parked)
        stored.update(result.rows)
    return {key: versioned.row for key, versioned in stored.items() if versioned.row is not None}


def interleaved(log: Iterable[Recorded], *, seed: int) -> list[Recorded]:
    """Another order of the same facts in which every stream keeps its own, as partitions may deliver them."""
    streams: dict[str, deque[Recorded]] = defaultdict(deque)
    for recorded in log:
        streams[recorded.stream].append(recorded)
    chance = random.Random(seed)
    turns = [stream for stream, facts in streams.items() for _ in facts]
    chance.shuffle(turns)
    return [streams[stream].popleft() for stream in turns]


def digest(log: Iterable[Recorded]) -> str:
    """SHA-256 over every view's rows in the order they came to be, as stored."""
    rows = {view.name: list(in_log_order(log, view).items()) for view in VIEWS}
    return hashlib.sha256(msgspec.json.encode(rows)).hexdigest()


@each_view
@each_seed
def test_rows_do_not_depend_on_how_the_log_is_cut_into_batches(view, seed):
    log = history(seed)
    expected = in_log_order(log, view)

    assert expected
    for size in (1, 2, 7, 100, len(log)):
        assert expected == in_batches(log, view, size=size)


@each_view
@each_seed
def test_rows_do_not_depend_on_how_streams_are_interleaved(view, seed):
    log = history(seed)
    expected = in_log_order(log, view)

    for order in range(3):
        other = interleaved(log, seed=order)
        assert other != log
        assert expected == in_log_order(other, view)
        assert expected == in_batches(other, view, size=13)


@pytest.mark.parametrize("view", KEYED_VIEWS, ids=lambda view: view.name)
def test_a_row_of_a_keyed_view_belongs_to_one_stream(view):
    owners: dict[Key, set[str]] = defaultdict(set)
    for recorded in history(1):
        fold = view.folds.get(type(recorded.event))
        for key, _ in () if fold is None else fold.spread(recorded.event):
            owners[key].add(recorded.stream)

    assert owners
    assert all(len(streams) == 1 for streams in owners.values())


def test_rows_do_not_depend_on_the_hash_seed():
    program = (
        "from tests.histories import history; from tests.projections.test_determinism import digest;"
        " print(digest(history(7)))"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        ).stdout.strip()
        for hash_seed in HASH_SEEDS
    }

    assert {digest(history(7))} == digests


def test_the_ordered_channel_carries_what_sums_are_made_of():
    assert ORDERED_TYPES == (
        "ordering.credit_note_issued.v1",
        "ordering.order_cancelled.v1",
        "ordering.order_confirmed.v1",
    )


def test_every_row_fits_its_columns():
    for view in VIEWS:
        for row in in_log_order(history(3), view).values():
            assert row == msgspec.convert(msgspec.to_builtins(row), view.row)
