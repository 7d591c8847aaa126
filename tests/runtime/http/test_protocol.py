"""The short ways into the pipeline: a refusal at the head, a request served whole, and what goes uvicorn's way."""

import asyncio
import contextlib
import http.client
import json
import re
import socket
import threading
import time

import psutil
import pytest
from fastapi import Response

from commands import refusals
from runtime.http.pipeline import Refusal
from runtime.http.protocol import PipelineProtocol
from tests.runtime.http.applying import ANSWERED_WITHIN_S, listening, pipelined, serve

UNREAD_BYTES = 32 << 20
"""More than the buffers of both ends hold."""
GROWTH_BYTES_MAX = 24 << 20
ORDER = b"POST /orders HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"

TOO_BUSY = Refusal(refusals.too_busy())


class AtOnce(http.client.HTTPConnection):
    """Sends headers and body together: what the server reads at once decides the way that a request goes."""

    def _send_output(self, message_body=None, **_):
        if message_body is None:
            super()._send_output()
            return
        self._buffer.extend((b"", message_body))
        whole = b"\r\n".join(self._buffer)
        del self._buffer[:]
        self.send(whole)


async def waited_for(exchange):
    body, more = b"", True
    while more:
        message = await exchange.receive()
        body, more = body + message["body"], message["more_body"]
    return body


@pytest.fixture
def app():
    """Its answers say which way a request came: whole, or with a body that the application had to wait for."""

    async def place(exchange):
        if exchange.whole is None:
            return Response(b"application got " + await waited_for(exchange))
        if exchange.whole == b"slow":
            made.state.slow.set()
            while not made.state.go_on.is_set():  # noqa: ASYNC110  it is set by another thread
                await asyncio.sleep(0.01)
            made.state.answered.set()
        if exchange.whole == b"gone":
            raise asyncio.CancelledError
        return Response(b"directly got " + exchange.whole)

    def shed(method, path):
        made.state.asked.append((method, path))
        return TOO_BUSY if made.state.full and method == "POST" else None

    made = pipelined(shed=shed)
    made.state.asked = []
    made.state.slow, made.state.go_on, made.state.answered = (threading.Event() for _ in range(3))
    made.state.full = True
    serve(made, "/orders", place)
    serve(made, "/orders/{order_id}", place, method="GET")
    return made


@pytest.fixture
def server(app):
    with listening(app) as server:
        yield server


@pytest.fixture
def port(server):
    return server.config.port


@pytest.fixture
def connection(port):
    made = AtOnce("127.0.0.1", port, timeout=ANSWERED_WITHIN_S)
    yield made
    made.close()


def connected(port):
    return socket.create_connection(("127.0.0.1", port), timeout=ANSWERED_WITHIN_S)


def sent(opened, content, *, answers):
    """What comes back when these bytes are sent at once."""
    opened.sendall(content)
    received = b""
    while received.count(b" got ") < answers or not received.endswith(b"}"):
        received += opened.recv(65_536)
    return received


def refused(opened, content):
    """The whole refusal of one request."""
    opened.sendall(content)
    received = b""
    while not received.endswith(b"}"):
        received += opened.recv(65_536)
    return received


def without_what_differs(refusal):
    return re.sub(rb"date: [^\r]*|[0-9a-f]{32}", b"", refusal)


def recording(method, calls):
    """The method, noting each call."""

    def noted(self):
        calls.append(self)
        return method(self)

    return noted


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
    assert b"directly got {}" == second.read()
    assert {("POST", "/orders")} == set(app.state.asked)


def test_while_requests_are_shed_the_parser_reads_none_that_came_whole(app, port, monkeypatch):
    parsed = []
    monkeypatch.setattr(PipelineProtocol, "_parse", recording(PipelineProtocol._parse, parsed))
    with connected(port) as opened:
        refusals_of = [
            refused(opened, ORDER.replace(b"/orders", path)) for path in (b"/orders",) * 3 + (b"/orders?x=1",)
        ]
        app.state.full = False
        taken = sent(opened, ORDER, answers=1)

    assert 1 == len({without_what_differs(each) for each in refusals_of})
    assert taken.endswith(b"directly got {}")
    assert 2 == len(parsed), "the first, before which nothing was shed, and the one that was taken"


@pytest.mark.parametrize(
    "pieces",
    [(ORDER * 2,), (ORDER[:20], ORDER[20:]), (ORDER[:-1], ORDER[-1:]), (ORDER + ORDER[:9], ORDER[9:])],
    ids=["two at once", "head in pieces", "body in pieces", "one and a half"],
)
def test_while_requests_are_shed_what_did_not_come_whole_is_refused_all_the_same(app, port, pieces):
    with connected(port) as opened:
        refused(opened, ORDER)
        for piece in pieces:
            opened.sendall(piece)
            time.sleep(0.02)
        count = b"".join(pieces).count(b"POST")
        received = b""
        while received.count(b'"too-busy"') < count or not received.endswith(b"}"):
            received += opened.recv(65_536)
        app.state.full = False

        assert count == received.count(b"HTTP/1.1 503")
        assert sent(opened, ORDER, answers=1).endswith(b"directly got {}")


def test_who_hangs_up_after_the_answer_is_answered_by_the_application(app, connection):
    app.state.full = False
    connection.request("POST", "/orders", body=b"{}", headers={"Connection": "close"})

    assert b"application got {}" == connection.getresponse().read()


def test_a_plain_request_is_answered_directly_and_whole(app, connection):
    app.state.full = False
    connection.request("POST", "/orders", body=b"{}")
    answer = connection.getresponse()

    assert (200, b"directly got {}") == (answer.status, answer.read())
    assert answer.headers["date"]
    assert ["15"] == answer.headers.get_all("content-length")
    assert answer.headers["connection"] is None


def test_answers_to_requests_sent_at_once_come_in_their_order(app, port):
    app.state.full = False
    slow = ORDER.replace(b"Length: 2", b"Length: 4").replace(b"{}", b"slow")
    threading.Timer(0.2, app.state.go_on.set).start()
    with connected(port) as opened:
        received = sent(opened, slow + ORDER * 2, answers=3)

    assert [b"directly got slow", b"application got {}", b"application got {}"] == [
        part.partition(b"HTTP")[0] for part in received.split(b"\r\n\r\n")[1:]
    ]


def test_a_body_that_comes_in_pieces_is_waited_for_by_the_application(app, port):
    app.state.full = False
    with connected(port) as opened:
        opened.sendall(ORDER[:-1])
        while not app.state.asked:
            time.sleep(0.01)
        first = sent(opened, ORDER[-1:], answers=1)
        second = sent(opened, ORDER, answers=1)

    assert first.endswith(b"application got {}")
    assert second.endswith(b"directly got {}")


@pytest.mark.parametrize(
    ("instead_of", "given"),
    [
        (b"Host: x", b"Host: x\r\nConnection: close"),
        (b"Host: x", b"Host: x\r\nExpect: 100-continue"),
        (b"HTTP/1.1", b"HTTP/1.0"),
        (b"HTTP/1.1\r\n", b"HTTP/1.0\r\nConnection: keep-alive\r\n"),
        (b"/orders", b"/orders?x=1"),
    ],
)
def test_what_is_not_plain_is_the_applications(app, port, instead_of, given):
    app.state.full = False
    with connected(port) as opened:
        received = sent(opened, ORDER.replace(instead_of, given), answers=1)

    assert received.endswith(b"application got {}")


def test_a_server_that_ends_finishes_an_answer_and_closes_its_connection(app, server, connection):
    app.state.full = False
    connection.request("POST", "/orders", body=b"slow")
    assert app.state.slow.wait(ANSWERED_WITHIN_S)
    server.should_exit = True
    with contextlib.suppress(ConnectionRefusedError):  # until it has begun to end
        while True:
            connected(server.config.port).close()
            time.sleep(0.01)
    app.state.go_on.set()
    answer = connection.getresponse()

    assert (200, b"directly got slow") == (answer.status, answer.read())
    assert "close" == answer.headers["connection"]


def test_an_answer_given_while_the_process_says_that_it_leaves_ends_the_connection(app, server, connection):
    app.state.full = False
    connection.request("POST", "/orders", body=b"slow")
    duplicate = connection.sock.dup()
    assert app.state.slow.wait(ANSWERED_WITHIN_S)
    leaving = (b"connection", b"close")
    server.config.encoded_headers.append(leaving)
    server.server_state.default_headers = [*server.server_state.default_headers, leaving]
    app.state.go_on.set()
    answer = connection.getresponse()
    answer.read()

    with duplicate:
        assert b"" == duplicate.recv(1), "the server closed it"
    connection.request("POST", "/orders", body=b"{}")
    last = connection.getresponse()

    assert ["close"] == answer.headers.get_all("connection")
    assert ["close"] == last.headers.get_all("connection")
    assert b"application got {}" == last.read()


def test_who_hangs_up_before_the_answer_disturbs_nobody(app, port, connection):
    app.state.full = False
    with connected(port) as opened:
        opened.sendall(ORDER.replace(b"Length: 2", b"Length: 4").replace(b"{}", b"slow"))
        assert app.state.slow.wait(ANSWERED_WITHIN_S)
    app.state.go_on.set()
    assert app.state.answered.wait(ANSWERED_WITHIN_S)
    connection.request("POST", "/orders", body=b"{}")

    assert b"directly got {}" == connection.getresponse().read()


def test_a_request_that_is_given_up_at_the_end_loses_its_connection_and_does_not_wait(app, connection):
    app.state.full = False
    connection.request("POST", "/orders", body=b"gone")

    with pytest.raises(http.client.RemoteDisconnected):
        connection.getresponse()


@pytest.mark.parametrize("full", [True, False])
def test_a_caller_that_reads_no_answer_does_not_make_the_process_grow(app, port, full):
    app.state.full = full
    unsent = memoryview(ORDER * (UNREAD_BYTES // len(ORDER)))
    before = psutil.Process().memory_info().rss
    with socket.create_connection(("127.0.0.1", port), timeout=1) as opened:
        with contextlib.suppress(TimeoutError):  # the server stopped reading
            while unsent:
                unsent = unsent[opened.send(unsent) :]
        grown = psutil.Process().memory_info().rss - before

    assert unsent, "more was read than can have been answered"
    assert grown < GROWTH_BYTES_MAX


def test_answers_are_read_at_last_by_a_caller_that_was_slow(app, port):
    many = 2_000
    with connected(port) as opened:
        sending = threading.Thread(target=opened.sendall, args=(ORDER * many,))
        sending.start()
        time.sleep(0.3)
        received = bytearray()  # an answer may begin in one piece and end in the next
        while received.count(b"HTTP/1.1 503") < many:
            received += opened.recv(1 << 20)
        sending.join()

    assert many == received.count(b"HTTP/1.1 503")


def test_head_has_no_body_whichever_way_it_comes(connection):
    connection.request("HEAD", "/orders/1")
    whole = connection.getresponse()
    whole.read()
    connection.request("HEAD", "/orders/1?x")
    other = connection.getresponse()

    assert (200, 200, b"") == (whole.status, other.status, other.read())
    assert ("13", "16") == (whole.headers["content-length"], other.headers["content-length"])
