import asyncio

import pytest

from read_api.errors import DocumentsUnavailable, ReadError, TooManyReads
from read_api.reading.coalescing import Coalescer

pytestmark = pytest.mark.anyio


class Source:
    """Answers each key with itself doubled, when it is let."""

    def __init__(self) -> None:
        self.questions = []
        self.gate = asyncio.Event()
        self.error = None

    async def fetch(self, keys):
        self.questions.append(sorted(keys))
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return {key: key * 2 for key in keys}


async def test_keys_of_one_round_of_the_loop_leave_in_one_question():
    source = Source()
    source.gate.set()
    coalescer = Coalescer(source.fetch)

    answers = await asyncio.gather(*(coalescer.ask(key) for key in (1, 2, 3)))

    assert answers == [2, 4, 6]
    assert source.questions == [[1, 2, 3]]


async def test_keys_gather_while_a_question_is_under_way():
    source = Source()
    coalescer = Coalescer(source.fetch)
    first = coalescer.ask(1)
    await asyncio.sleep(0)
    later = [coalescer.ask(key) for key in (2, 3, 2)]
    await asyncio.sleep(0)
    source.gate.set()

    assert await asyncio.gather(first, *later) == [2, 4, 6, 4]
    assert source.questions == [[1], [2, 3]]


async def test_a_question_that_is_under_way_never_answers_a_later_request():
    """Otherwise a caller could be given a row from before its own write."""
    source = Source()
    coalescer = Coalescer(source.fetch)
    first = coalescer.ask(1)
    await asyncio.sleep(0)
    again = coalescer.ask(1)
    source.gate.set()
    await asyncio.gather(first, again)

    assert source.questions == [[1], [1]]


async def test_a_batch_has_a_limit():
    source = Source()
    source.gate.set()
    coalescer = Coalescer(source.fetch, batch_max=2)

    await asyncio.gather(*(coalescer.ask(key) for key in (1, 2, 3)))

    assert source.questions == [[1, 2], [3]]


async def test_a_full_queue_refuses_at_once():
    coalescer = Coalescer(Source().fetch, waiting_max=2)
    coalescer.ask(1)
    coalescer.ask(2)

    with pytest.raises(TooManyReads):
        coalescer.ask(3)
    await coalescer.close()


async def test_a_failure_reaches_those_under_way_and_those_waiting_and_nobody_after():
    source = Source()
    source.error = DocumentsUnavailable("gone")
    coalescer = Coalescer(source.fetch)
    first = coalescer.ask(1)
    await asyncio.sleep(0)
    waiting = coalescer.ask(2)
    source.gate.set()
    errors = await asyncio.gather(first, waiting, return_exceptions=True)
    source.error = None

    assert [type(error) for error in errors] == [DocumentsUnavailable] * 2
    assert errors[0] is not errors[1]
    assert source.questions == [[1]]
    assert await coalescer.ask(3) == 6


async def test_a_request_that_goes_away_does_not_disturb_the_others():
    source = Source()
    coalescer = Coalescer(source.fetch)
    gone, stays = coalescer.ask(1), coalescer.ask(2)
    await asyncio.sleep(0)
    gone.cancel()
    source.gate.set()

    assert await stays == 4


async def test_closing_cancels_who_waits():
    coalescer = Coalescer(Source().fetch)
    asked = [coalescer.ask(1)]
    await asyncio.sleep(0)
    asked.append(coalescer.ask(2))

    await coalescer.close()

    assert [future.cancelled() for future in asked] == [True, True]


async def test_a_fault_of_ours_reaches_who_asked_and_the_next_question_leaves():
    source = Source()
    source.error = KeyError("bug")
    source.gate.set()
    coalescer = Coalescer(source.fetch)

    with pytest.raises(ReadError, match="bug"):
        await coalescer.ask(1)
    source.error = None
    assert await coalescer.ask(2) == 4
