"""A checkpoint never passes a trigger without an outcome, and never stays behind one that has it."""

import pytest

from commands.processes.fulfilment import FULFILMENT
from commands.processes.process import Process
from commands.processes.progress import Progress
from commands.processes.trigger import Trigger
from event_store.consumers.checkpoints import Mark
from event_store.transport.transport import Record
from tests.commands.processes.packing import PACKING
from tests.examples import NOW

PARTITION = 0
PLACED = "ordering.order_placed.v1"


def record(position: int) -> Record:
    leaf = bytes([position])
    return Record(PARTITION, 0, position, "order-1", "order-1", 1, PLACED, b"{}", b"{}", NOW, leaf, 1)


def trigger(position: int, process: Process = FULFILMENT) -> Trigger:
    return Trigger(process, process.reactions[PLACED], record(position))


def mark(position: int) -> dict[int, Mark]:
    return {PARTITION: Mark(position, bytes([position]) if position else None)}


@pytest.fixture
def progress():
    """Of the events 4 to 9, two are triggers: 5 and 7."""
    progress = Progress({PARTITION: Mark(0)})
    for position in range(4, 10):
        triggers = [trigger(position)] if position in {5, 7} else []
        assert progress.deliver(record(position), triggers)
    return progress


def test_it_stands_before_the_first_open_trigger(progress):
    assert mark(4) == progress.reached()


def test_it_passes_what_is_done_up_to_the_next_open_trigger(progress):
    progress.done(trigger(5))

    assert mark(6) == progress.reached()


def test_a_later_outcome_does_not_move_it_past_an_earlier_open_trigger(progress):
    progress.done(trigger(7))

    assert mark(4) == progress.reached()


def test_it_reaches_the_last_event_when_nothing_is_open(progress):
    progress.done(trigger(7))
    progress.done(trigger(5))

    assert mark(9) == progress.reached()
    assert 0 == progress.open


def test_what_arrives_again_opens_nothing(progress):
    assert not progress.deliver(record(5), [trigger(5)])
    progress.done(trigger(5))
    progress.done(trigger(7))

    assert mark(9) == progress.reached()


def test_a_partition_that_holds_nothing_more_is_passed_over(progress):
    progress.done(trigger(5))
    progress.done(trigger(7))
    progress.pass_over(PARTITION, 20)
    progress.pass_over(PARTITION, 12)

    assert {PARTITION: Mark(20)} == progress.reached()


def test_an_event_that_triggers_two_processes_is_open_until_both_are_done_however_often_one_of_them_says_so():
    progress = Progress({PARTITION: Mark(0)})
    progress.deliver(record(5), [trigger(5), trigger(5, PACKING)])
    progress.deliver(record(5), [trigger(5), trigger(5, PACKING)])

    progress.done(trigger(5))
    progress.done(trigger(5))
    assert mark(0) == progress.reached()

    progress.done(trigger(5, PACKING))
    assert mark(5) == progress.reached()
