"""No route of either API is answered past the pipeline: a step that refuses everything refuses all there is.

The list of routes is that of the running server; requests come over real sockets, in every form that a server reads
in another way.
"""

import contextlib
import json
import re
import socket
import time

import pytest
import uvicorn
from msgspec.structs import replace

from commands import batch
from counterfoil import applications
from devservers import child
from runtime.http.protocol import PipelineProtocol
from runtime.problems import ProblemError
from runtime.settings import Settings
from tests.runtime.http import applying

ANSWERED_WITHIN_S = 60.0
PAGES = "https://shop.example"
"""An origin whose preflights are answered, unless a step refuses them."""
BODY = b'{"commands":[]}'
PAUSE_S = 0.002
"""Between the parts of a request, so that they arrive one by one."""
HEAD = re.compile(rb"HTTP/1\.1 (\d{3})[^\r]*\r\n(.*?)\r\n\r\n", re.DOTALL)


async def deny(_exchange):
    raise ProblemError("forbidden", "Nobody may do anything.")


async def deny_commands(exchange):
    if exchange.route.path != batch.PATH:
        raise ProblemError("forbidden", "Nobody may command anything.")


@contextlib.contextmanager
def running(app, **steps):
    """A server of the application with these steps planted; its port."""
    app.pipeline._steps = replace(app.pipeline._steps, **steps)
    config = uvicorn.Config(
        app, host="127.0.0.1", port=child.free_port(), http=PipelineProtocol, ws="none", log_config=None
    )
    with applying.serving(config):
        yield config.port


def request(method, address, *, body=b"", correlation="walk"):
    asking = f"Origin: {PAGES}\r\nAccess-Control-Request-Method: POST\r\n" if method == "OPTIONS" else ""
    return (
        f"{method} {address} HTTP/1.1\r\nHost: x\r\nCorrelation-Id: {correlation}\r\nIdempotency-Key: k\r\n{asking}"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def forms_of(method, address):
    """How a request may be sent: in each form the parts that arrive one after another."""
    whole = request(method, address, body=BODY)
    return [
        [whole],
        [whole[:-3], whole[-3:]],
        [request(method, f"{address}?x=1", body=BODY)],
    ]


class Caller:
    """One connection to a server, over which requests are sent one after another."""

    def __init__(self, port):
        self._connection = socket.create_connection(("127.0.0.1", port), timeout=ANSWERED_WITHIN_S)
        self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # parts leave at once
        self._received = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._connection.close()

    def answers(self, *parts, methods):
        """What comes back, as (status, code, correlation id), when these bytes are sent one after another."""
        for number, part in enumerate(parts):
            time.sleep(PAUSE_S if number else 0)
            self._connection.sendall(part)
        return [self._answer(method) for method in methods]

    def _answer(self, method):
        while (head := HEAD.search(self._received)) is None:
            self._receive()
        headers = dict(line.lower().split(b": ", 1) for line in head[2].split(b"\r\n"))
        ends = head.end() + (0 if method == "HEAD" else int(headers[b"content-length"]))
        while len(self._received) < ends:
            self._receive()
        body, self._received = self._received[head.end() : ends], self._received[ends:]
        return int(head[1]), json.loads(body)["code"] if body else None, headers[b"correlation-id"].decode()

    def _receive(self):
        received = self._connection.recv(65_536)
        assert received, "the server closed the connection"
        self._received += received


def answers(port, *parts, methods):
    """The same over a connection of its own."""
    with Caller(port) as caller:
        return caller.answers(*parts, methods=methods)


def addresses_of(app):
    routes = [(method, re.sub(r"{[^}]+}", "1", route.path)) for method, route in app.pipeline.table]
    unknown = {(method, address) for method in ("TRACE", "PURGE", "OPTIONS") for _, address in routes}
    return [*routes, *sorted(unknown), ("GET", "/nowhere"), ("POST", "/backdoor")]


@pytest.fixture(params=["commands", "queries"])
def app(request, database_url):
    settings = Settings(database_url=database_url, cors_origins=PAGES)
    make = applications.command_app if request.param == "commands" else applications.query_app
    return make(settings)


def refused(method):
    return 403, None if method == "HEAD" else "forbidden", "walk"


@pytest.mark.parametrize("step", ["limit_by_address", "authenticate", "limit_by_principal"])
def test_a_planted_step_refuses_every_route(app, step):
    walked = addresses_of(app)
    pipelined = b"".join(request(*each, body=BODY) for each in walked)
    with running(app, **{step: deny}) as port, Caller(port) as caller:
        found = caller.answers(pipelined, methods=[method for method, _ in walked])

    assert [] == [
        (each, answer) for each, answer in zip(walked, found, strict=True) if answer != refused(each[0])
    ]
    assert len(walked) > 30


def test_a_planted_step_refuses_every_route_in_every_form(app):
    with running(app, authenticate=deny) as port, Caller(port) as kept:
        for method, address in addresses_of(app):
            for parts in forms_of(method, address):
                assert [refused(method)] == kept.answers(*parts, methods=[method]), parts


def test_every_command_of_a_batch_is_refused_by_a_planted_step(database_url):
    app = applications.command_app(Settings(database_url=database_url))
    names = [route.command.name for route in app.router.routes if hasattr(route, "command")]
    commands = [
        {"key": f"k{number}", "command": names[number % len(names)], "body": {"quantity": 1}}
        for number in range(500)
    ]
    whole = request("POST", batch.PATH, body=json.dumps({"commands": commands}).encode())
    with (
        running(app, limit_by_principal=deny_commands) as port,
        socket.create_connection(("127.0.0.1", port), timeout=ANSWERED_WITHIN_S) as opened,
    ):
        opened.sendall(whole)
        received = b""
        while not received.endswith(b"]}"):
            received += opened.recv(1 << 20)
    results = json.loads(received.partition(b"\r\n\r\n")[2])["results"]

    assert 500 == len(results)
    assert {(403, "forbidden", "walk")} == {
        (result["status"], result["code"], result["correlation_id"]) for result in results
    }
