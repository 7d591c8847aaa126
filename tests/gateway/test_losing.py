"""Requests through a gateway while one of three processes of each API is killed, one stopped, one drained."""

import asyncio
import itertools
import signal

import httpx
import psycopg
import pytest

from tests import sizes

CALLERS = 8
FAULTS = {signal.SIGKILL: -signal.SIGKILL, signal.SIGSTOP: None, signal.SIGTERM: 0}
"""Signals, and the exit codes that they lead to."""

pytestmark = pytest.mark.faults


class Run:
    """Callers that send commands with keys, and reads, one after another each, until all are sent."""

    def __init__(self, url, headers, *, name, requests):
        self.url = url
        self.headers = headers
        self.name = name
        self.requests = requests
        self.answered = 0
        self.failed = []
        self.under_way = asyncio.Event()
        self._next = itertools.count()

    async def carry_out(self):
        async with (
            httpx.AsyncClient(
                base_url=self.url, timeout=120, trust_env=False, headers=self.headers
            ) as client,
            asyncio.TaskGroup() as callers,
        ):
            for _ in range(CALLERS):
                callers.create_task(self._call(client))

    async def _call(self, client):
        while (number := next(self._next)) < self.requests:
            try:
                if number % 2:
                    answer = await client.get("/v1/products/none")
                else:
                    answer = await client.post(
                        "/v1/products",
                        json={"sku": f"{self.name}-{number}", "title": "T", "stocked": False},
                        headers={"idempotency-key": f"{self.name}-{number}"},
                    )
            except httpx.TransportError as error:
                self.failed.append((number, repr(error)))
            else:
                if answer.status_code != (404 if number % 2 else 201):
                    self.failed.append((number, answer.status_code, answer.text))
            self.answered += 1
            if self.answered >= self.requests // 5:
                self.under_way.set()


async def test_nobody_notices_one_of_three_processes_killed_stopped_or_drained(
    gateway, apis, owner, settings_of_shop
):
    each = sizes.THROUGH_GATEWAY.chosen // len(FAULTS)
    for number, fault in enumerate(FAULTS):
        run = Run(gateway.url, owner, name=fault.name.lower(), requests=each)
        async with asyncio.TaskGroup() as both:
            both.create_task(run.carry_out())
            await run.under_way.wait()
            for processes in apis.values():
                processes[number].signal(fault)
        ended = [await asyncio.to_thread(processes[number].recover, fault) for processes in apis.values()]

        assert [] == run.failed
        assert [FAULTS[fault]] * len(apis) == ended
        assert each == run.answered
        assert (each + 1) // 2 == effects(settings_of_shop, run.name)


def effects(settings, name):
    """How many products there are whose SKU begins so, each made once."""
    with psycopg.connect(settings.database_url.get_secret_value()) as connection:
        rows = connection.execute(
            "select count(*), count(distinct stream) from log.event where stream like %s",
            [f"product-{name}-%"],
        ).fetchone()
    assert rows is not None
    assert rows[0] == rows[1]
    return rows[0]
