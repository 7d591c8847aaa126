"""Row L1 of the security checks over HTTP: processes of both APIs let pass exactly what a limit says, between them."""

import asyncio
import collections
import itertools

import httpx

from tests import sizes
from tests.gateway.conftest import READS_OF_A_PROGRAM_MAX

PROCESSES_OF_EACH = 2
SCOPES = ["catalogue:read", "effects:read"]
PATHS = {"query-api": "/v1/products/none", "command-api": "/v1/commands/999999999/effects"}


async def test_l1_calls_at_once_over_four_processes_pass_exactly_as_often_as_the_limit_says(
    apis, caller, owner
):
    made = caller.post(
        "/v1/clients",
        json={"name": "reader", "scopes": SCOPES},
        headers={**owner, "idempotency-key": "reader"},
    )
    addresses = [
        process.url + PATHS[role]
        for role, processes in apis.items()
        for process in processes[:PROCESSES_OF_EACH]
    ]
    calls = sizes.LIMITED_CALLS.chosen
    async with httpx.AsyncClient(
        timeout=120,
        trust_env=False,
        headers={"authorization": f"Bearer {made.json()['secret']}"},
        limits=httpx.Limits(max_connections=calls),
    ) as client:
        answers = await asyncio.gather(
            *(client.get(address) for address in itertools.islice(itertools.cycle(addresses), calls))
        )
    counted = collections.Counter(answer.status_code for answer in answers)
    refused = [answer for answer in answers if answer.status_code == 429]
    left = sorted(_left(answer) for answer in answers if answer.status_code == 404)

    assert {404: READS_OF_A_PROGRAM_MAX, 429: calls - READS_OF_A_PROGRAM_MAX} == counted
    assert list(range(READS_OF_A_PROGRAM_MAX)) == left
    assert {"too-many-requests"} == {answer.json()["code"] for answer in refused}
    assert {True} == {1 <= int(answer.headers["retry-after"]) <= 60 for answer in refused}


def _left(answer):
    """What the answer says is left of the limit."""
    return int(answer.headers["ratelimit"].partition(";r=")[2].partition(";")[0])
