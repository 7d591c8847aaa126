"""The same log gives the same rows: whatever the batches, the order between partitions, the process's hash seed."""

import os
import random
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterfoil.contexts import CONTEXTS
from domain.event import partition_key_of
from event_store.log import codec
from event_store.transport.partitioning import partition_of
from projections import replay, worker
from projections.folding import BatchFold, DecodedEvent, Versioned
from projections.view import GLOBAL, Key
from tests.projections.feeding import append, assert_views_hold_the_log, feeding, history

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DIGESTS_PROGRAM = """
from tests.projections.test_determinism import digests, facts_of
print(digests(facts_of(7, steps=400), sizes=[500]))
"""


def facts_of(seed, *, steps=150):
    decoded_events = []
    for position, (stream, event) in enumerate(history(seed, steps=steps), start=1):
        name, payload = codec.encode(event)
        key = partition_key_of(event) or stream
        decoded_events.append(
            DecodedEvent(position, key, stream, position, name, b"", codec.decode(name, payload), NOW)
        )
    return decoded_events


def folded(view, decoded_events, *, sizes):
    """The rows of a view folded in batches of these sizes, again and again; only its own events count."""
    rows: dict[Key, Versioned] = {}
    first, step = 0, 0
    types = frozenset(view.event_types)
    decoded_events = [decoded for decoded in decoded_events if decoded.type in types]
    while first < len(decoded_events):
        batch = decoded_events[first : first + sizes[step % len(sizes)]]
        fold = BatchFold(view, skips=frozenset(), parked=frozenset())
        fold.gather(batch)
        rows.update(fold.fold(rows).rows)
        first, step = first + len(batch), step + 1
    return {key: row for key, row in rows.items() if row.row is not None}


def digests(decoded_events, *, sizes):
    outcomes = {}
    for view in CONTEXTS.views:
        digest = replay.Digest()
        for key, row in folded(view, decoded_events, sizes=sizes).items():
            digest.add(key, replay.canonical(row.row))
        outcomes[view.name] = digest.text
    return outcomes


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 50), sizes=st.lists(st.integers(1, 60), min_size=1, max_size=5))
def test_the_size_of_batches_changes_nothing(seed, sizes):
    decoded_events = facts_of(seed)

    assert digests(decoded_events, sizes=[1]) == digests(decoded_events, sizes=sizes)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 50), shuffle=st.randoms(use_true_random=False))
def test_any_order_that_keeps_each_partition_in_order_gives_the_same_keyed_rows(seed, shuffle):
    decoded_events = facts_of(seed)
    queues: dict[int, list[DecodedEvent]] = {}
    for decoded in decoded_events:
        queues.setdefault(partition_of(decoded.partition_key, 12), []).append(decoded)
    interleaved = []
    while queues:
        chosen = shuffle.choice(sorted(queues))
        interleaved.append(queues[chosen].pop(0))
        if not queues[chosen]:
            del queues[chosen]

    for view in CONTEXTS.views:
        if view.kind is not GLOBAL:
            assert folded(view, decoded_events, sizes=[50]) == folded(view, interleaved, sizes=[50]), (
                view.name
            )


def test_the_hash_seed_of_the_process_changes_nothing():
    outcomes = {str(digests(facts_of(7, steps=400), sizes=[500]))}  # under a seed that nobody chose
    for seed in ("0", "4242"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(Path.cwd())}
        ran = subprocess.run(
            [sys.executable, "-c", DIGESTS_PROGRAM],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        outcomes.add(ran.stdout.strip())

    assert len(outcomes) == 1
    assert "order_details" in outcomes.pop()


@pytest.mark.parametrize("records", [1, 7, 64])
def test_workers_with_small_batches_keep_the_same_rows(shop_url, monkeypatch, records):
    monkeypatch.setattr(worker, "RECORDS_PER_BATCH_MAX", records)
    monkeypatch.setattr("projections.step.ROWS_CACHED_MAX", random.Random(records).randint(0, 5))
    monkeypatch.setattr("tests.projections.feeding.ROUNDS_MAX", 5_000)
    append(shop_url, history(34, steps=60))
    with feeding(shop_url, CONTEXTS.views) as feeder:
        feeder.catch_up()

    assert_views_hold_the_log(shop_url, CONTEXTS.views)
