"""The link rule, as a pure function."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from event_store.transport.link import Gap, link
from event_store.transport.transport import Record

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def record(position, *, prev):
    return Record(0, prev, position, "k", "order-1", 1, "shop.happened.v1", b"{}", b"{}", NOW, b"leaf", 1)


def chain(*positions, start=0):
    return [
        record(position, prev=prev) for prev, position in zip((start, *positions), positions, strict=False)
    ]


def positions(records):
    return [each.position for each in records]


def test_records_that_continue_are_applied():
    linked = link(4, records=chain(6, 9, start=4))

    assert ([6, 9], None, [], 0) == (positions(linked.apply), linked.missing, linked.rest, linked.duplicates)


def test_records_at_or_below_the_last_position_are_repeats():
    linked = link(6, records=chain(3, 6, 9))

    assert ([9], 2) == (positions(linked.apply), linked.duplicates)


def test_a_record_may_follow_a_position_its_predecessor_never_had():
    linked = link(8, records=[record(9, prev=6)])

    assert [9] == positions(linked.apply)


def test_a_lost_record_is_missing_and_what_follows_waits():
    first, _lost, third, fourth = chain(1, 2, 3, 4)
    linked = link(0, records=[first, third, fourth])

    assert [1] == positions(linked.apply)
    assert Gap(after=1, upto=2) == linked.missing
    assert [3, 4] == positions(linked.rest)


def test_swapped_records_are_found_as_missing_then_as_a_repeat():
    first, second, third = chain(1, 2, 3)
    linked = link(0, records=[first, third, second])
    after_repair = link(2, records=linked.rest)

    assert Gap(after=1, upto=2) == linked.missing
    assert ([3], 1) == (positions(after_repair.apply), after_repair.duplicates)


def test_nothing_to_link_changes_nothing():
    linked = link(7, records=[])

    assert ([], None, [], 0) == (linked.apply, linked.missing, linked.rest, linked.duplicates)


@given(st.data())
def test_whatever_arrives_the_partition_is_applied_once_and_in_order_with_repairs(data):
    true_positions = sorted(data.draw(st.sets(st.integers(1, 60), min_size=1)))
    carried = chain(*true_positions)
    arriving = data.draw(st.lists(st.sampled_from(carried), max_size=80))
    applied, last = [], 0

    while arriving:
        linked = link(last, records=arriving)
        applied += positions(linked.apply)
        last = applied[-1] if applied else 0
        if linked.missing is not None:
            repaired = [each for each in true_positions if linked.missing.after < each <= linked.missing.upto]
            applied += repaired
            last = applied[-1]
        arriving = linked.rest

    assert true_positions[: len(applied)] == applied
    assert len(applied) == len([each for each in true_positions if each <= last])
