import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from event_store.log.appending import limits
from event_store.log.appending.batching import Batcher
from event_store.log.appending.errors import InvalidRequest, QueueFull
from event_store.log.envelope import Accepted, AppendRequest, ChainBroken, Expectation, NewEvent, Replayed
from tests.appends import append_request, new_event

ACCEPTED = Accepted(1, 1, (1,))


def queued(*requests: AppendRequest) -> Batcher[int]:
    batcher: Batcher[int] = Batcher()
    for ticket, request in enumerate(requests):
        batcher.offer(request, ticket)
    return batcher


def test_requests_leave_in_the_order_in_which_they_came():
    batcher = queued(*(append_request() for _ in range(limits.BATCH_REQUESTS_MAX + 1)))

    first, _ = batcher.take()
    second, _ = batcher.take()

    assert list(range(limits.BATCH_REQUESTS_MAX)) == [request.ticket for request in first]
    assert [limits.BATCH_REQUESTS_MAX] == [request.ticket for request in second]


def test_a_request_larger_than_a_batch_travels_alone():
    large = append_request(
        events=(new_event("order-1", payload=b'"' + b"x" * limits.BATCH_BYTES_MAX + b'"'),)
    )
    large = AppendRequest(large.key, large.fingerprint, large.events, (Expectation("order-1", -2),))
    batcher = queued(append_request(), large, append_request())

    assert [[0], [1], [2], []] == [[request.ticket for request in batcher.take()[0]] for _ in range(4)]


def test_one_request_too_many_is_refused_before_it_is_queued():
    batcher = queued(*(append_request() for _ in range(limits.QUEUE_REQUESTS_MAX)))

    with pytest.raises(QueueFull):
        batcher.offer(append_request(), -1)
    assert limits.QUEUE_REQUESTS_MAX == len(batcher.queue)


def test_who_would_wait_too_long_gets_no_room():
    batcher = queued(*(append_request() for _ in range(2 * limits.BATCH_REQUESTS_MAX)))
    batcher.reserve(1, batch_s=limits.WAIT_S_MAX / 2)

    with pytest.raises(QueueFull):
        batcher.reserve(1, batch_s=limits.WAIT_S_MAX / 1.9)

    batcher.take()
    batcher.reserve(1, batch_s=limits.WAIT_S_MAX / 1.9)
    assert 2 == batcher.reserved


def test_one_slow_batch_refuses_nobody_from_the_next():
    batcher = queued(*(append_request() for _ in range(limits.BATCH_REQUESTS_MAX - 1)))

    batcher.reserve(1, batch_s=60.0)

    assert 1 == batcher.reserved


def test_who_sends_many_at_once_may_wait_longer():
    batcher = queued(*(append_request() for _ in range(limits.BATCH_REQUESTS_MAX)))
    batcher.reserve(2, batch_s=limits.WAIT_OF_MANY_S_MAX)

    with pytest.raises(QueueFull):
        batcher.reserve(2, batch_s=1.1 * limits.WAIT_OF_MANY_S_MAX)


def test_large_requests_fill_a_batch_sooner():
    half = append_request(
        events=(new_event("order-1", payload=b'"' + b"x" * (limits.BATCH_BYTES_MAX // 2) + b'"'),)
    )
    half = AppendRequest(half.key, half.fingerprint, half.events, (Expectation("order-1", -2),))
    batcher = queued(half)
    batcher.take()
    batcher.offer(half, 2)

    with pytest.raises(QueueFull):
        batcher.require(1, batch_s=1.1 * limits.WAIT_S_MAX)


def test_reserved_room_is_not_given_to_others():
    batcher: Batcher[int] = Batcher()
    batcher.reserve(limits.QUEUE_REQUESTS_MAX)

    with pytest.raises(QueueFull):
        batcher.offer(append_request(), 0)
    batcher.release(1)
    batcher.offer(append_request(), 1)

    assert 1 == len(batcher.queue)


def test_a_broken_chain_refuses_what_waits_of_it_and_nothing_else():
    batcher = queued(append_request(chain=7))
    batch, _ = batcher.take()
    batcher.offer(append_request(chain=7), 1)
    batcher.offer(append_request(chain=8), 2)
    batcher.offer(append_request(), 3)

    batcher.settle(batch, [Replayed(1, 1, (1,))])
    batch, refused = batcher.take()

    assert [2, 3] == [request.ticket for request in batch]
    assert [(1, ChainBroken())] == refused


def test_a_request_that_is_not_queued_breaks_its_chain_so_that_nothing_overtakes_it():
    batcher: Batcher[str] = Batcher()
    unfit = replace(append_request("order-1", version=0, chain=1), key=b"short")
    with pytest.raises(InvalidRequest):
        batcher.offer(unfit, "unfit")
    batcher.offer(append_request("order-1", version=1, chain=1), "later")

    assert ([], [("later", ChainBroken())]) == batcher.take()


def test_a_batch_without_an_answer_breaks_its_chains_because_order_would_be_lost():
    batcher = queued(append_request(chain=7))
    batch, _ = batcher.take()
    batcher.fail(batch)
    batcher.offer(append_request(chain=7), 1)

    assert ([], [(1, ChainBroken())]) == batcher.take()


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (append_request(key=b"short"), "a key has 16 bytes"),
        (append_request("order-1", events=(new_event("order-2"),)), "has no expectation"),
        (append_request("order-1", "order-1"), "named twice"),
        (append_request("order-\0"), "NUL"),
        (append_request("order-\ud800"), "lone surrogate"),
        (append_request("s" * 201), "1 to 200 characters"),
        (append_request("s", version=-4), "not an expected version"),
        (append_request("s", events=(new_event("s", payload=b"{"),)), "not JSON"),
        (append_request("s", events=(new_event("s", payload=b'"\xff"'),)), "not JSON in UTF-8"),
        (append_request("s", events=(new_event("s", payload=b'"\0"'),)), "not JSON"),
        (append_request("s", events=(new_event("s", payload=b"NaN"),)), "not JSON"),
        (append_request("s", events=(new_event("s", tags=("a", "a")),)), "none twice"),
        (append_request("s", events=(NewEvent("s", "", b"1", b"1"),)), "a type has"),
        (append_request("s", events=(new_event("s"),) * 4_001), "4001 events"),
    ],
)
def test_a_request_that_postgres_could_not_store_is_never_queued(request_: AppendRequest, says: str):
    batcher: Batcher[int] = Batcher()

    with pytest.raises(InvalidRequest, match=says):
        batcher.offer(request_, 0)
    assert 0 == len(batcher.queue)


def test_callers_are_parted_into_two_batches_that_alternate():
    batcher = queued(*(append_request() for _ in range(64)))

    first, _ = batcher.take(in_flight=())
    second, _ = batcher.take(in_flight=first)
    third, _ = batcher.take(in_flight=second)

    assert (32, 32, 0) == (len(first), len(second), len(third))


def test_few_requests_are_not_parted():
    batcher = queued(*(append_request() for _ in range(2 * limits.BATCH_HALF_MIN - 1)))

    batch, _ = batcher.take(in_flight=())

    assert 2 * limits.BATCH_HALF_MIN - 1 == len(batch)


def test_a_batch_grows_until_it_is_as_large_as_the_one_at_the_server():
    batcher = queued(*(append_request() for _ in range(100)))
    first, _ = batcher.take()
    for ticket in range(99):
        batcher.offer(append_request(), ticket)

    assert ([], []) == batcher.take(in_flight=first)
    batcher.offer(append_request(), 99)
    assert 100 == len(batcher.take(in_flight=first)[0])


def test_two_batches_of_unequal_size_become_more_equal():
    batcher = queued(*(append_request() for _ in range(20)))
    first, _ = batcher.take()
    for ticket in range(60):
        batcher.offer(append_request(), ticket)

    assert 40 == len(batcher.take(in_flight=first)[0])


def test_a_chain_is_not_parted_nor_sent_while_its_own_beginning():
    batcher = queued(*(append_request(chain=7) for _ in range(64)))

    first, _ = batcher.take(in_flight=())
    for ticket in range(64):
        batcher.offer(append_request(chain=7 if ticket == 40 else None), ticket)
    second, _ = batcher.take(in_flight=first)
    third, _ = batcher.take(in_flight=first)

    assert 64 == len(first)
    assert list(range(40)) == [queued.ticket for queued in second]
    assert [] == third


STEPS = ("offer", "offer many", "offer chain", "take", "accept", "refuse", "fail")


@given(st.lists(st.sampled_from(STEPS), max_size=60))
def test_whatever_happens_each_request_is_answered_once_and_chains_stay_in_order(steps: list[str]):
    batcher: Batcher[int] = Batcher()
    tickets = itertools.count()
    answers: list[tuple[int, Any]] = []
    chained: set[int] = set()
    out: list[Any] = []
    for step in steps:
        match step:
            case "offer" | "offer chain":
                ticket = next(tickets)
                if step == "offer chain":
                    chained.add(ticket)
                batcher.offer(append_request(chain=1 if step == "offer chain" else None), ticket)
            case "offer many":
                for _ in range(limits.BATCH_HALF_MIN):
                    batcher.offer(append_request(), next(tickets))
            case "take" if len(out) < 2:
                batch, refused = batcher.take(in_flight=out[0] if out else ())
                answers += refused
                out += [batch] if batch else []
            case "accept" if out:
                batch = out.pop(0)
                answers += batcher.settle(batch, [ACCEPTED] * len(batch))
            case "refuse" if out:
                batch = out.pop(0)
                answers += batcher.settle(batch, [Replayed(1, 1, (1,))] * len(batch))
            case "fail" if out:
                answers += [(ticket, "failed") for ticket in batcher.fail(out.pop(0))]
            case _:
                pass
    accepted = [ticket for ticket, verdict in answers if ticket in chained and verdict == ACCEPTED]
    refused_first = next(
        (ticket for ticket, verdict in answers if ticket in chained and verdict != ACCEPTED), None
    )

    assert len({ticket for ticket, _ in answers}) == len(answers)
    assert sorted(accepted) == accepted
    assert refused_first is None or all(ticket < refused_first for ticket in accepted)
