"""Row L1 of the security checks: processes that share a Redis let pass exactly the quota, in any window."""

import asyncio
import json
import subprocess
import sys

import pytest

from runtime.quotas.quota import Quota
from runtime.quotas.shared_windows import SharedWindows, WindowsUnavailable

PATIENCE_S = 60.0
"""For a machine that runs other tests meanwhile; what production waits is `TIMEOUT_S`."""
PROCESSES = 4
CALLS = 1_000
MOST = 100

_PROCESS = """
import asyncio, json, sys
from runtime.quotas.quota import Quota
from runtime.quotas.shared_windows import SharedWindows

async def main(url, calls, most, timeout_s):
    async with SharedWindows(url, timeout_s=timeout_s) as windows:
        quota = Quota("write-guest", most, 3600)
        sys.stdin.readline()
        taken = await asyncio.gather(*(windows.take(quota, "ada") for _ in range(calls)))
    print(json.dumps([[each.passes, each.remaining, each.wait_s] for each in taken]))

print("ready", flush=True)
asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])))
"""


@pytest.fixture
async def windows(redis_url):
    async with SharedWindows(redis_url, timeout_s=PATIENCE_S) as opened:
        yield opened


def test_l1_a_thousand_calls_at_once_over_four_processes_pass_exactly_as_often_as_the_limit_says(redis_url):
    given = [redis_url, str(CALLS // PROCESSES), str(MOST), str(PATIENCE_S)]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _PROCESS, *given],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(PROCESSES)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert "ready\n" == process.stdout.readline()
        answers = [process.communicate("go\n", timeout=PATIENCE_S)[0] for process in _begun(processes)]
    finally:
        for process in processes:
            process.kill()
            process.wait()

    taken = [each for answer in answers for each in json.loads(answer)]
    assert CALLS == len(taken)
    assert sorted(range(MOST)) == sorted(remaining for passes, remaining, _ in taken if passes)
    assert all(0 < wait_s <= 3600 for _, _, wait_s in taken)


def _begun(processes):
    """All of them begin before the first is waited for."""
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    return processes


@pytest.mark.anyio
async def test_a_place_is_free_again_when_the_call_that_had_it_leaves_the_window(windows):
    quota = Quota("write-guest", 1, 3600)
    assert (await windows.take(quota, "ada")).passes
    refused = await windows.take(quota, "ada")
    (key,) = await windows._client.keys("*")
    at = int(await windows._client.lindex(key, 0))
    await windows._client.lset(key, 0, str(at - 3_600_000_000))  # an hour passes

    assert (False, 0, "shared") == (refused.passes, refused.remaining, refused.source)
    assert 0 < refused.wait_s <= 3600
    assert [True, False] == [(await windows.take(quota, "ada")).passes for _ in range(2)]


@pytest.mark.anyio
async def test_a_quota_that_was_lowered_waits_until_as_many_have_left(windows):
    many = Quota("write-guest", 5, 3600)
    for _ in range(5):
        await windows.take(many, "ada")

    refused = await windows.take(Quota("write-guest", 2, 3600), "ada")

    assert (False, True) == (refused.passes, 0 < refused.wait_s <= 3600)


@pytest.mark.anyio
async def test_no_address_of_the_network_can_be_read_in_redis_and_nothing_stays_there(windows, redis_url):
    await windows.take(Quota("read-address", 5, 60), "192.0.2.1")

    keys = await windows._client.keys("*")
    assert 1 == len(keys)
    assert b"192.0.2.1" not in keys[0]
    assert 0 < await windows._client.pttl(keys[0]) <= 60_000


@pytest.mark.anyio
async def test_all_who_wait_learn_that_redis_is_not_there():
    async with SharedWindows("redis://127.0.0.1:1/0", timeout_s=PATIENCE_S) as windows:
        taken = await asyncio.gather(
            *(windows.take(Quota("q", 1), "ada") for _ in range(20)), return_exceptions=True
        )

    assert {WindowsUnavailable} == {type(each) for each in taken}
