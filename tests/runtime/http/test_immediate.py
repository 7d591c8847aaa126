"""An answer that needs no waiting passes the steps of every other one, and is written without a task."""

import asyncio
import http.client
import json
import re
import socket
import time

import pytest
from fastapi import Response

from commands import refusals
from runtime.http.pipeline import Refusal
from runtime.http.principal import ANONYMOUS, NOBODY, Principal
from runtime.http.routes import Prepared
from runtime.telemetry import new_registry
from tests.runtime.http.applying import ANSWERED_WITHIN_S, Endpoint, listening, pipelined, serve

THING = "/things/{thing_id}"
KEEP_ALIVE_S = 1


class Thing:
    """Answers at once, unless the id says otherwise."""

    def __init__(self):
        self.at_once = []
        self.headers = []
        self.raw_paths = []

    async def answer(self, exchange):
        if exchange.parameters["thing_id"] == "slow":
            await asyncio.sleep(2.5 * KEEP_ALIVE_S)
        return Response(b"waited for " + exchange.parameters["thing_id"].encode())

    def immediate(self, exchange):
        thing_id = exchange.parameters["thing_id"]
        self.at_once.append(thing_id)
        self.headers.append(exchange.headers)
        self.raw_paths.append(exchange.scope["raw_path"])
        if thing_id == "broken":
            raise RuntimeError("a mistake of ours")
        if thing_id in {"absent", "slow"}:
            return None
        body = b"at once " + thing_id.encode()
        return Prepared(b"content-type: text/plain\r\ncontent-length: %d\r\n" % len(body), body)


@pytest.fixture
def thing():
    return Thing()


@pytest.fixture
def registry():
    return new_registry()


def serving_it(thing, registry, *, requires="things:read", keep_alive_s=2 * ANSWERED_WITHIN_S, **given):
    app = pipelined(registry=registry, **{"recognise": lambda _exchange: ANONYMOUS, **given})
    route = serve(app, THING, thing.answer, method="GET", requires=requires)
    assert isinstance(route.endpoint, Endpoint)
    route.endpoint.immediate = thing.immediate
    return listening(app, keep_alive_s=keep_alive_s)


def asked(thing, registry, *paths, headers=None, **given):
    """The answers to GETs over one connection: status, headers, body."""
    with serving_it(thing, registry, **given) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.config.port, timeout=ANSWERED_WITHIN_S)
        answers = []
        for path in paths:
            connection.request("GET", path, headers=headers or {})
            answer = connection.getresponse()
            answers.append((answer.status, answer.headers, answer.read()))
        connection.close()
    return answers


def test_what_is_there_is_answered_at_once_and_the_rest_is_waited_for(thing, registry):
    answers = asked(thing, registry, "/things/1", "/things/absent", "/things/2")

    assert [b"at once 1", b"waited for absent", b"at once 2"] == [body for _, _, body in answers]


def test_it_has_the_callers_correlation_id_what_pages_may_read_and_is_counted(thing, registry):
    ((status, headers, _),) = asked(
        thing,
        registry,
        "/things/1",
        headers={"Correlation-Id": "mine", "Origin": "https://shop.example"},
        origins=("https://shop.example",),
    )
    counted = registry.get_sample_value(
        "counterfoil_http_requests_total", {"method": "GET", "route": THING, "status": "200"}
    )

    assert (200, "mine") == (status, headers["correlation-id"])
    assert headers["access-control-allow-origin"] == "https://shop.example"
    assert counted == 1.0


def test_an_id_in_percent_encoding_is_the_same_id(thing, registry):
    ((_, _, body),) = asked(thing, registry, "/things/order%201")

    assert body == b"at once order 1"


@pytest.mark.parametrize("recognised", [None, NOBODY, Principal("account", "clerk", frozenset({"other"}))])
def test_a_caller_who_is_not_known_or_may_not_is_not_answered_at_once(thing, registry, recognised):
    async def forbidden(_exchange):
        return NOBODY

    ((status, _, _),) = asked(
        thing, registry, "/things/1", authenticate=forbidden, recognise=lambda _exchange: recognised
    )

    assert (403, []) == (status, thing.at_once)


def test_a_malformed_correlation_id_is_refused(thing, registry):
    ((status, _, body),) = asked(thing, registry, "/things/1", headers={"Correlation-Id": "ä"})

    assert (400, "correlation-id-malformed") == (status, json.loads(body)["code"])
    assert thing.at_once == []


def test_a_mistake_in_answering_at_once_is_no_end_of_the_request(thing, registry):
    answers = asked(thing, registry, "/things/broken", "/things/1")

    assert [b"waited for broken", b"at once 1"] == [body for _, _, body in answers]


READ = b"GET /things/1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer t\r\n\r\n"


def answered(opened, *pieces, answers=1, body=True):
    """As many answers as these pieces of a connection have, without what differs each time."""
    for piece in pieces:
        opened.sendall(piece)
        time.sleep(0.01)  # so that they do not come as one
    received = b""
    with opened.makefile("rb") as coming:
        for _ in range(answers):
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                line = coming.readline()
                assert line, "the server hung up"
                head += line
            length = re.search(rb"content-length: ([0-9]+)", head)
            assert length is not None
            received += head + (coming.read(int(length[1])) if body else b"")
    return re.sub(rb"date: [^\r]*|[0-9a-f]{32}", b"", received)


def test_headers_are_read_once_while_a_connection_repeats_them(thing, registry):
    read, other = READ.replace(b"things/1", b"things/2"), READ.replace(b"Bearer t", b"Bearer u")
    with (
        serving_it(thing, registry) as server,
        socket.create_connection(("127.0.0.1", server.config.port), timeout=ANSWERED_WITHIN_S) as opened,
    ):
        received = b"".join(answered(opened, each) for each in (READ, read, other, other))
    first, second, third, fourth = thing.headers

    assert ["1", "2", "1", "1"] == thing.at_once
    assert [b"/things/1", b"/things/2", b"/things/1", b"/things/1"] == thing.raw_paths
    assert 4 == received.count(b"at once")
    assert second is first
    assert third is not second
    assert fourth is third
    assert [b"Bearer u" == dict(headers)[b"authorization"] for headers in thing.headers] == [
        False,
        False,
        True,
        True,
    ]


def test_a_repeated_request_whose_answer_is_not_there_is_asked_about_once_and_waited_for(thing, registry):
    absent, slow = READ.replace(b"things/1", b"things/absent"), READ.replace(b"things/1", b"things/slow")
    with (
        serving_it(thing, registry, keep_alive_s=KEEP_ALIVE_S) as server,
        socket.create_connection(("127.0.0.1", server.config.port), timeout=ANSWERED_WITHIN_S) as opened,
    ):
        received = [answered(opened, each) for each in (absent, absent, READ, slow, absent, READ)]

    assert ["absent", "absent", "1", "slow", "absent", "1"] == thing.at_once
    assert all(headers is thing.headers[0] for headers in thing.headers)
    assert [
        *(b"waited for absent", b"waited for absent", b"at once 1"),
        *(b"waited for slow", b"waited for absent", b"at once 1"),
    ] == [each.rpartition(b"\r\n")[2] for each in received]


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([READ.replace(b"things/1", b"things/order%202")], {}),
        ([READ.replace(b"things/1", b"things/absent")], {}),
        ([READ.replace(b"things/1", b"things/1?x=1")], {}),
        ([READ.replace(b"things/1", b"nothing")], {}),
        ([READ.replace(b"GET", b"HEAD")], {"body": False}),
        ([READ.replace(b"GET", b"POST")], {}),
        ([READ.replace(b"GET", b"get")], {}),
        ([READ.replace(b"HTTP/1.1", b"HTTP/1.0")], {}),
        ([READ.replace(b"Host: x", b"Host: x\r\nConnection: close")], {}),
        ([READ.replace(b"Bearer t", b"Bearer t\r\nCorrelation-Id: mine")], {}),
        ([READ.replace(b"\r\n\r\n", b"\r\nContent-Length: 2\r\n\r\n{}")], {}),
        ([b"\r\n" + READ], {}),
        ([READ * 3], {"answers": 3}),
        ([READ[:20], READ[20:]], {}),
        ([READ[:-2], READ[-2:] + READ], {"answers": 2}),
        ([b"nonsense\r\n" + READ.partition(b"\r\n")[2]], {}),
    ],
)
def test_a_request_after_a_read_is_answered_as_if_it_came_first(thing, registry, pieces, expected):
    with serving_it(thing, registry) as server:
        address = ("127.0.0.1", server.config.port)
        with socket.create_connection(address, timeout=ANSWERED_WITHIN_S) as opened:
            alone = answered(opened, *pieces, **expected)
        with socket.create_connection(address, timeout=ANSWERED_WITHIN_S) as opened:
            before = answered(opened, READ)
            after = answered(opened, *pieces, **expected)

    assert before.endswith(b"at once 1")
    assert after == alone


def test_the_end_of_a_body_is_no_first_line(thing, registry):
    body = b"GET /things/2 HTTP/1.1\r\nHost: x\r\n\r\n"
    post = b"POST /things/1 HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
    busy = Refusal(refusals.too_busy())
    with (
        serving_it(thing, registry, shed=lambda method, _path: busy if method == "POST" else None) as server,
        socket.create_connection(("127.0.0.1", server.config.port), timeout=ANSWERED_WITHIN_S) as opened,
    ):
        answered(opened, post, body + READ, answers=2)
        received = answered(opened, body + READ, answers=2)

    assert 1 == received.count(b"at once 2")
    assert received.endswith(b"at once 1")


def test_requests_that_came_at_once_are_as_many_when_they_come_again(thing, registry):
    with (
        serving_it(thing, registry) as server,
        socket.create_connection(("127.0.0.1", server.config.port), timeout=ANSWERED_WITHIN_S) as opened,
    ):
        for _ in range(2):
            assert 3 == answered(opened, READ * 3, answers=3).count(b"at once 1")


def test_a_revoked_caller_is_not_recognised_by_headers_that_were_read_before(thing, registry):
    revoked = []

    async def unauthenticated(_exchange):
        return NOBODY

    with (
        serving_it(
            thing,
            registry,
            authenticate=unauthenticated,
            recognise=lambda _exchange: NOBODY if revoked else ANONYMOUS,
        ) as server,
        socket.create_connection(("127.0.0.1", server.config.port), timeout=ANSWERED_WITHIN_S) as opened,
    ):
        before = answered(opened, READ) + answered(opened, READ)
        revoked.append(True)
        after = answered(opened, READ)

    assert 2 == before.count(b"at once 1")
    assert after.startswith(b"HTTP/1.1 403")
