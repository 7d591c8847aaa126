"""A request that is refused at the socket: one answer, the connection goes on, and nothing else notices."""

import http.client
import json
import socket
import threading
import time

import pytest
import uvicorn
from fastapi import FastAPI

from commands import refusals
from counterfoil.servers import child
from counterfoil.shedding import SheddingProtocol

ANSWERED_WITHIN_S = 10


@pytest.fixture
def app():
    made = FastAPI()
    made.state.asked = []
    made.state.full = True

    @made.post("/orders")
    async def place() -> dict[str, bool]:
        return {"placed": True}

    def refuse(method, path):
        made.state.asked.append((method, path))
        return refusals.too_busy() if made.state.full and method == "POST" else None

    made.state.refuse = refuse
    return made


@pytest.fixture
def port(app):
    port = child.free_port()
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=port,
        http=SheddingProtocol,
        ws="none",
        log_config=None,
        proxy_headers=False,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    give_up = time.monotonic() + ANSWERED_WITHIN_S
    while not server.started:
        assert time.monotonic() < give_up
        time.sleep(0.01)
    yield port
    server.should_exit = True
    thread.join()


@pytest.fixture
def connection(port):
    made = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWERED_WITHIN_S)
    yield made
    made.close()


def test_a_refusal_is_a_whole_problem_and_says_when_to_come_again(connection):
    connection.request("POST", "/orders?x=1", body=b"{}", headers={"Correlation-Id": "mine"})
    answer = connection.getresponse()
    problem = json.loads(answer.read())

    assert (503, "too-busy", "mine") == (answer.status, problem["code"], problem["correlation_id"])
    assert ("1", "mine", "nosniff", "application/problem+json") == tuple(
        answer.headers[name]
        for name in ("retry-after", "correlation-id", "x-content-type-options", "content-type")
    )


def test_the_connection_goes_on_and_a_body_that_comes_late_is_dropped(app, connection):
    connection.putrequest("POST", "/orders")
    connection.putheader("Content-Length", "100000")
    connection.endheaders()
    time.sleep(0.05)
    connection.send(b"x" * 100_000)
    answer = connection.getresponse()
    answer.read()
    app.state.full = False
    connection.request("POST", "/orders", body=b"{}")
    second = connection.getresponse()

    assert (503, 200) == (answer.status, second.status)
    assert {"placed": True} == json.loads(second.read())
    assert [("POST", "/orders")] * 2 == app.state.asked


def test_who_hangs_up_after_the_answer_is_answered_by_the_application(app, connection):
    connection.request("POST", "/orders", body=b"{}", headers={"Connection": "close"})

    assert 200 == connection.getresponse().status
    assert [] == app.state.asked


def test_answers_to_requests_sent_at_once_come_in_their_order(app, port):
    app.state.full = False
    first = b"POST /orders HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
    with socket.create_connection(("127.0.0.1", port), timeout=ANSWERED_WITHIN_S) as sent:
        sent.sendall(first * 3)
        received = b""
        while received.count(b"HTTP/1.1 ") < 3 or not received.endswith(b"}"):
            received += sent.recv(65_536)

    assert 3 == received.count(b"HTTP/1.1 200")
