"""A checkpoint never passes a trigger without an outcome, and never stays behind one that has it."""

import pytest
from msgspec.structs import replace

from commands.policies.fulfilment import FULFILMENT
from commands.policies.progress import Arrival, Mark, Portion, Progress
from commands.policies.trigger import Trigger

SOURCE = 0


def arriving(position: int, *, before: int) -> Arrival:
    return Arrival(Mark(before), [trigger(position)])


def trigger(position: int) -> Trigger:
    return Trigger(
        policy="fulfilment",
        reaction=FULFILMENT.reactions[0],
        source=SOURCE,
        partition_key="order-1",
        position=position,
        epoch=1,
        stream="order-1",
        version=1,
        type="ordering.order_placed.v1",
        event=None,
        reads=(),
        correlation_id="",
        fingerprint=b"",
    )


@pytest.fixture
def progress():
    progress = Progress({SOURCE: Mark(0)})
    progress.deliver(Portion(SOURCE, [arriving(5, before=4), arriving(7, before=6)], Mark(9)))
    return progress


def test_it_stands_before_the_first_open_trigger(progress):
    assert {SOURCE: Mark(4)} == progress.reached()


def test_it_passes_what_is_done_up_to_the_next_open_trigger(progress):
    progress.done(trigger(5))

    assert {SOURCE: Mark(6)} == progress.reached()


def test_a_later_outcome_does_not_move_it_past_an_earlier_open_trigger(progress):
    progress.done(trigger(7))

    assert {SOURCE: Mark(4)} == progress.reached()


def test_it_reaches_the_last_event_when_nothing_is_open(progress):
    progress.done(trigger(7))
    progress.done(trigger(5))

    assert {SOURCE: Mark(9)} == progress.reached()
    assert 0 == progress.open


def test_what_arrives_again_opens_nothing(progress):
    progress.deliver(Portion(SOURCE, [arriving(5, before=4)], Mark(5)))
    progress.done(trigger(5))
    progress.done(trigger(7))

    assert {SOURCE: Mark(9)} == progress.reached()


def test_an_event_that_is_a_trigger_to_two_policies_is_open_until_both_are_done():
    progress = Progress({SOURCE: Mark(0)})
    both = [trigger(5), replace(trigger(5), policy="restock")]
    progress.deliver(Portion(SOURCE, [Arrival(Mark(4), both)], Mark(5)))

    progress.done(both[0])
    assert {SOURCE: Mark(4)} == progress.reached()

    progress.done(both[1])
    assert {SOURCE: Mark(5)} == progress.reached()
