"""Row L2 of the security checks: a Redis that is slow or down costs little, and each process goes on with its part."""

import asyncio
import contextlib

import pytest

from runtime.quotas.limiter import Limiter
from runtime.quotas.quota import Quota
from runtime.quotas.shared_windows import TIMEOUT_S, SharedWindows
from runtime.telemetry import new_registry

pytestmark = pytest.mark.anyio

TEN = Quota("write-guest", 10, 3600)
PATIENCE_S = 60.0


@contextlib.asynccontextmanager
async def silent():
    """A server that takes connections and never answers; yields its address and how many came."""
    came = []

    async def take(reader, writer):
        came.append(writer)
        with contextlib.suppress(ConnectionError):
            await reader.read()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    try:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0", came
    finally:
        server.close()
        for writer in came:
            writer.close()


async def passed(limiter, calls):
    taken = [await limiter.take(TEN, "ada") for _ in range(calls)]
    return sum(each.passes for each in taken), {each.source for each in taken}


async def test_l2_a_request_waits_for_redis_no_longer_than_is_promised():
    assert TIMEOUT_S <= 0.05


async def test_l2_while_redis_does_not_answer_each_process_gives_away_its_part():
    async with silent() as (url, _):
        limiters = [Limiter(shared=SharedWindows(url), processes=4) for _ in range(4)]
        async with contextlib.AsyncExitStack() as stack:
            for limiter in limiters:
                await stack.enter_async_context(limiter.opened())
            given = await asyncio.gather(*(passed(limiter, 10) for limiter in limiters))

    assert [(2, {"local"})] * 4 == given


async def test_l2_a_redis_that_does_not_answer_is_left_alone_after_three_questions():
    now = [0.0]
    async with silent() as (url, came):
        limiter = Limiter(shared=SharedWindows(url), processes=1, clock=lambda: now[0])
        async with limiter.opened():
            await passed(limiter, 50)

            assert 1 <= len(came) <= 3


async def test_what_passed_before_redis_went_away_is_part_of_the_part(redis_url):
    registry = new_registry()
    shared = SharedWindows(redis_url, timeout_s=PATIENCE_S)
    limiter = Limiter(shared=shared, processes=2, registry=registry)
    async with limiter.opened():
        assert (4, {"shared"}) == await passed(limiter, 4)
        limiter._shared = SharedWindows("redis://127.0.0.1:1/0")

        assert (1, {"local"}) == await passed(limiter, 10)

    assert {("shared", "passed"): 4.0, ("local", "passed"): 1.0, ("local", "refused"): 9.0} == {
        (sample.labels["source"], sample.labels["verdict"]): sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == "counterfoil_limit_decisions_total"
    }


async def test_without_redis_a_process_counts_for_itself():
    limiter = Limiter(shared=None, processes=1)
    async with limiter.opened():
        assert (10, {"local"}) == await passed(limiter, 12)
