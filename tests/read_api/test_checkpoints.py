"""What follows from checkpoints and the relay's rows, against the log that they speak of."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from event_store.transport.position_token import PositionToken
from event_store.transport.transport import WHOLE_LOG
from read_api.checkpoints import (
    CheckpointRow,
    Checkpoints,
    CheckpointSnapshot,
    Published,
    applied,
    applied_by_all,
    checkpoints_of,
    covered,
    reached,
)

PARTITIONS = 3


@st.composite
def moments(draw):
    """A log (the partition of each position, from 1), a relay somewhere in it, and a build not beyond its events.

    The build may be ahead of what the relay's row says: the row is written after publishing.
    """
    log = draw(st.lists(st.integers(0, PARTITIONS - 1), max_size=30))
    relay = draw(st.integers(0, len(log)))
    by_partition = [
        [position for position, p in enumerate(log, 1) if p == each] for each in range(PARTITIONS)
    ]
    last = {p: max((at for at in by_partition[p] if at <= relay), default=0) for p in range(PARTITIONS)}
    positions = {p: draw(st.sampled_from([0, *by_partition[p]])) for p in range(PARTITIONS)}
    return log, Published(relay, last), Checkpoints(1, 1, positions)


def _applied(log, checkpoints, upto):
    """Whether every event up to a position is in the rows."""
    return all(position <= checkpoints.positions[p] for position, p in enumerate(log, 1) if position <= upto)


def _snapshot(log, published):
    return CheckpointSnapshot(
        seen_at=0.0,
        installation="test",
        position=len(log),
        epoch=1,
        recorded_at=datetime(2026, 1, 31, tzinfo=UTC),
        first_positions={1: 1},
        partitions={1: PARTITIONS},
        published={1: published},
        builds={},
    )


@given(moments())
def test_everything_up_to_the_covered_position_is_in_the_rows(moment):
    log, published, checkpoints = moment

    assert _applied(log, checkpoints, covered(checkpoints, published))


@given(moments())
def test_a_build_that_has_everything_the_relay_published_covers_the_relays_position(moment):
    log, published, _ = moment
    caught_up = Checkpoints(1, 1, {p: published.last[p] for p in range(PARTITIONS)})

    assert covered(caught_up, published) == (published.position if log else 0)


@given(moments(), st.dictionaries(st.integers(0, PARTITIONS - 1), st.integers(0, 30), max_size=PARTITIONS))
def test_a_reached_token_means_that_its_events_are_in_the_rows(moment, partitions):
    log, published, checkpoints = moment
    token = PositionToken(1, 1, {p: min(at, len(log)) for p, at in partitions.items()})

    if reached(token, checkpoints, published):
        for position, p in enumerate(log, 1):
            assert position > token.partitions.get(p, 0) or position <= checkpoints.positions[p]


@given(moments())
def test_a_token_of_real_events_is_reached_as_soon_as_they_are_in_the_rows(moment):
    _log, published, checkpoints = moment
    token = PositionToken(1, 1, {p: at for p, at in checkpoints.positions.items() if at})

    assert reached(token, checkpoints, published)


@given(moments(), st.integers(0, 30))
def test_a_token_of_another_generation_is_reached_when_everything_up_to_it_is_in_the_rows(moment, at):
    log, published, checkpoints = moment
    token = PositionToken(1, 2, {0: min(at, len(log))})

    if reached(token, checkpoints, published):
        assert _applied(log, checkpoints, token.highest)


@given(moments(), st.integers(0, 30))
def test_what_an_answer_says_it_has_it_has(moment, summed_to):
    """The token of an answer is reached by the builds it was made from, and says nothing that is not in them."""
    log, published, checkpoints = moment
    snapshot = _snapshot(log, published)
    summed = Checkpoints(1, WHOLE_LOG.generation, {0: summed_to})

    for all_checkpoints in ([checkpoints], [summed], [checkpoints, summed]):
        token = applied_by_all(all_checkpoints, snapshot)
        assert token.generation == 1
        assert all(reached(token, each, published) for each in all_checkpoints)
    assert reached(applied(checkpoints, snapshot), checkpoints, published)


@given(moments(), st.integers(0, 30))
def test_a_global_view_has_what_a_token_names_when_it_stands_at_the_highest_position(moment, summed_to):
    log, published, checkpoints = moment
    token = PositionToken(1, 1, checkpoints.positions)
    summed = Checkpoints(1, WHOLE_LOG.generation, {0: summed_to})

    assert reached(token, summed, None) == (token.highest <= summed_to)
    assert set(applied(summed, _snapshot(log, published)).partitions.values()) == {summed_to}


def test_only_the_newest_generation_counts():
    rows = [CheckpointRow(generation, p, 10 * generation) for generation in (2, 1, 3) for p in range(2)]

    assert checkpoints_of(rows, epoch=4) == Checkpoints(4, 3, {0: 30, 1: 30})


def test_without_checkpoints_there_is_no_position():
    assert checkpoints_of([], epoch=1) is None
