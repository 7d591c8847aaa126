"""What comes before a request is known is limited in size and time, and holds nobody else up."""

import contextlib
import http.client
import json
import socket
import time

import pytest
from fastapi import Response

from runtime.http import connection_limits
from runtime.http.connection_limits import HEAD_BYTES_MAX, HEADERS_MAX
from tests import sizes
from tests.runtime.http.applying import ANSWERED_WITHIN_S, listening, pipelined, serve

HEAD = b"GET /orders HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture
def app():
    async def answer(exchange):
        return Response(b"answered")

    made = pipelined()
    serve(made, "/orders", answer, method="GET")
    serve(made, "/orders", answer)
    return made


@pytest.fixture
def server(app):
    with listening(app) as server:
        yield server


def connected(server):
    opened = socket.create_connection(("127.0.0.1", server.config.port), timeout=ANSWERED_WITHIN_S)
    return contextlib.closing(opened)


def answered(connection):
    """Status, headers and problem of the answer, after which the connection has ended."""
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    body = answer.read()
    assert b"" == connection.recv(1)
    return answer.status, answer.headers, json.loads(body)


def served(connection):
    """A request that is answered: by then the connection is known to the server."""
    connection.sendall(HEAD + b"\r\n")
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    assert b"answered" == answer.read()


@pytest.mark.parametrize(
    "head",
    [
        HEAD + b"X: " + b"a" * HEAD_BYTES_MAX + b"\r\n\r\n",
        HEAD + b"X: " + b"a" * 8 * HEAD_BYTES_MAX,
        HEAD + b"".join(b"X-%d: a\r\n" % number for number in range(HEADERS_MAX)) + b"\r\n",
        b"GET /orders?" + b"a" * HEAD_BYTES_MAX + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        HEAD + b"".join(b"A%d: %b\r\n" % (number, b"b" * 1_000) for number in range(20)),
    ],
    ids=[
        "a header",
        "a header without an end",
        "a flood of headers",
        "an address",
        "many headers without an end",
    ],
)
def test_a_head_that_is_too_large_is_refused_and_ends_the_connection(server, head):
    with connected(server) as connection:
        for start in range(0, len(head), 1_000):
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.send(head[start : start + 1_000])
        with contextlib.suppress(ConnectionResetError):
            status, headers, problem = answered(connection)

            assert (431, "head-too-large") == (status, problem["code"])
            assert "nosniff" == headers["x-content-type-options"]
            assert headers["correlation-id"] == problem["correlation_id"]


def test_a_head_of_one_piece_that_is_too_large_is_refused_with_a_problem(server):
    with connected(server) as connection:
        connection.sendall(HEAD + b"X: " + b"a" * HEAD_BYTES_MAX + b"\r\n\r\n")

        assert 431 == answered(connection)[0]


def test_a_head_within_the_limits_is_served_however_it_is_cut(server):
    head = HEAD + b"X: " + b"a" * (HEAD_BYTES_MAX - 1_000) + b"\r\n\r\n"
    with connected(server) as connection:
        for start in range(0, len(head), 500):
            connection.sendall(head[start : start + 500])
        answer = http.client.HTTPResponse(connection)
        answer.begin()

        assert (200, b"answered") == (answer.status, answer.read())


def test_what_is_no_http_is_answered_as_every_problem_is(server):
    with connected(server) as connection:
        connection.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n")
        status, headers, problem = answered(connection)

    assert (400, "request-unreadable") == (status, problem["code"])
    assert "default-src 'none'; frame-ancestors 'none'" == headers["content-security-policy"]
    assert "no-store" == headers["cache-control"]


def test_a_head_that_does_not_arrive_in_time_is_refused(server, monkeypatch):
    with connected(server) as connection:
        served(connection)
        monkeypatch.setattr(connection_limits, "HEAD_TIMEOUT_S", 0.2)
        connection.sendall(HEAD)
        status, _, problem = answered(connection)

    assert (408, "head-too-slow") == (status, problem["code"])


def test_who_connects_and_sends_nothing_is_not_waited_for(server, monkeypatch):
    monkeypatch.setattr(connection_limits, "HEAD_TIMEOUT_S", 0.2)
    with connected(server) as connection:
        assert b"" == connection.recv(1)


def test_who_sends_empty_lines_between_requests_is_not_waited_for(server, monkeypatch):
    with connected(server) as connection:
        served(connection)
        monkeypatch.setattr(connection_limits, "HEAD_TIMEOUT_S", 0.2)
        connection.sendall(b"\r\n")

        assert b"" == connection.recv(1)


def test_a_caller_who_does_not_read_its_answer_is_not_waited_for(monkeypatch, app):
    monkeypatch.setattr(connection_limits, "UNREAD_TIMEOUT_S", 0.2)

    async def much(exchange):
        return Response(b"a" * (64 << 20))

    serve(app, "/much", much, method="GET")
    with listening(app) as server, connected(server) as connection:
        connection.sendall(b"GET /much HTTP/1.1\r\nHost: x\r\n\r\n")
        give_up = time.monotonic() + ANSWERED_WITHIN_S
        while server.server_state.connections or not server.server_state.total_requests:
            assert time.monotonic() < give_up
            time.sleep(0.02)


def test_slow_connections_hold_nobody_up(monkeypatch, server):
    monkeypatch.setattr(connection_limits, "HEAD_TIMEOUT_S", 5.0)
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(connected(server)) for _ in range(sizes.SLOW_CONNECTIONS.chosen)]
        for connection in slow:
            connection.sendall(HEAD)
        client = http.client.HTTPConnection("127.0.0.1", server.config.port, timeout=ANSWERED_WITHIN_S)
        stack.callback(client.close)
        for _ in range(50):
            client.request("GET", "/orders")
            assert b"answered" == client.getresponse().read()

        assert [408] * len(slow) == [answered(connection)[0] for connection in slow]
