"""Answers without ASGI: what the edge adds, what it catches, and refusals that are prepared once."""

import pytest
from fastapi import Response
from prometheus_client import CollectorRegistry, generate_latest

from runtime import direct
from runtime.direct import Refusal
from runtime.edge import dressed
from runtime.problems import ProblemError
from runtime.telemetry import HttpMetrics, correlation_id

MINE = [(b"correlation-id", b"mine")]


def test_a_prepared_refusal_says_what_the_problem_says():
    problem = ProblemError("too-busy", "Nothing was done.")
    head, _, body = Refusal(problem).answer(MINE, also=b"date: today\r\n").partition(b"\r\n\r\n")
    own = [(name.encode(), value.encode()) for name, value in problem.response_headers().items()]
    length = (b"content-length", b"%d" % len(body))

    assert problem.body("mine") == body
    assert b"HTTP/1.1 503 Service Unavailable" == head.split(b"\r\n")[0]
    assert {b"date: today"} | {b"%b: %b" % header for header in dressed([*own, length], "mine")} == set(
        head.split(b"\r\n")[1:]
    )


@pytest.mark.anyio
@pytest.mark.parametrize(("fails", "status"), [(False, 200), (True, 500)])
async def test_the_edge_names_counts_and_catches(fails, status):
    registry = CollectorRegistry()
    bound = []

    async def answer(_headers, body, correlation):
        bound.append(correlation_id.get())
        if fails:
            raise ZeroDivisionError
        return Response(body + correlation.encode())

    edged = direct.at_the_edge(answer, method="POST", route="/things", metrics=HttpMetrics(registry))
    response = await edged(MINE, b"body of ")

    assert ["mine"] == bound
    assert (status, b"body of mine" in response.body) == (response.status_code, not fails)
    assert "mine" == response.headers["correlation-id"]
    assert "nosniff" == response.headers["x-content-type-options"]
    assert f'method="POST",route="/things",status="{status}"}} 1.0'.encode() in generate_latest(registry)
