"""Which answers leave a line in the log."""

import httpx
import pytest
from fastapi import Response
from structlog.testing import capture_logs

from runtime.http import access_log
from runtime.http.access_log import AccessLog
from runtime.http.principal import ANONYMOUS
from runtime.problems import ProblemError
from tests.runtime.http.applying import pipelined, serve


def written(mode, statuses, *, clock=lambda: 1.0):
    log = AccessLog(mode, clock=clock)
    with capture_logs() as lines:
        for status in statuses:
            log.wrote("GET", "/x", status=status, code=None, principal=ANONYMOUS, seconds=0.0015)
    return [(line["status"], line.get("left_out")) for line in lines]


def test_off_writes_nothing_and_on_everything():
    assert [] == written("off", [200, 404, 500])
    assert [(200, None), (404, None), (500, None)] == written("on", [200, 404, 500])


def test_sampled_writes_what_was_rejected_and_few_of_the_others():
    assert [(404, None), (503, None)] == written("sampled", [200, 404, 201, 503])
    assert 2 == len(written("sampled", [200] * 2 * access_log.ACCEPTED_ONE_IN))


def test_sampled_writes_a_bounded_number_of_lines_a_second_and_counts_the_rest():
    most = access_log.REJECTED_PER_SECOND_MAX
    times = iter([1.0] * (most + 5) + [2.0])
    lines = written("sampled", [429] * (most + 5) + [404], clock=lambda: next(times))

    assert [(429, None)] * most + [(404, "5")] == lines


@pytest.mark.anyio
async def test_a_rejected_request_can_be_found_by_its_correlation_id():
    async def refuse(_exchange):
        raise ProblemError("too-busy", "Later.")

    app = pipelined(access_log="sampled")
    serve(app, "/orders", refuse)
    serve(app, "/fine", lambda _: _fine())
    with capture_logs() as lines:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            await client.post("/orders", headers={"Correlation-Id": "c-3"})
            await client.post("/fine")

    assert [("POST", "/orders", 503, "too-busy", "anonymous")] == [
        tuple(line[name] for name in ("method", "route", "status", "code", "actor")) for line in lines
    ]


async def _fine() -> Response:
    return Response()
