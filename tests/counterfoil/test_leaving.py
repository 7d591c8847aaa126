"""An API that has to leave: it says so for a while, on each connection, before it closes any."""

import asyncio
import contextlib
import http.client
import os
import signal
import threading
import time

import pytest
from fastapi import Response

from counterfoil import serving
from devservers import child
from tests.runtime.http.applying import ANSWERED_WITHIN_S, pipelined, serve


class Ticking(serving._Server):
    """Counts how often it was decided whether to stop accepting."""

    ticks = 0

    async def on_tick(self, counter):
        ends = await super().on_tick(counter)
        self.ticks += 1
        return ends


class Leaving:
    """A server in the main thread, as a process of ours runs it, and what a caller in another thread finds."""

    def __init__(self):
        async def answer(_exchange):
            return Response("answered")

        app = pipelined()
        serve(app, "/orders", answer, method="GET")
        self.port = child.free_port()
        self.drained = []
        self.failures = []
        config = serving.config_of(app, host="127.0.0.1", port=self.port, drain_s=2.0, tls=None)
        self.ended = threading.Event()
        self.server = Ticking(config, on_drain=lambda: self.drained.append(time.monotonic()))

    def run(self, call):
        """Serve until it ends, while the other thread calls; raise what that raised."""
        caller = threading.Thread(target=self._call, args=(call,))
        caller.start()
        self.server.run()
        self.ended.set()
        caller.join()
        if self.failures:
            raise self.failures[0]

    def _call(self, call):
        try:
            until(lambda: self.server.started)
            call(self)
            assert self.ended.wait(ANSWERED_WITHIN_S), "it goes on"
        except BaseException as failure:  # noqa: BLE001 - raised again in the test's thread
            self.failures.append(failure)
            self.server.should_exit = True

    def connected(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWERED_WITHIN_S)
        return contextlib.closing(connection)

    def ask_to_end(self):
        """SIGTERM, once it was handled and the server had time to end because of it."""
        before, ticks = len(self.drained), self.server.ticks
        os.kill(os.getpid(), signal.SIGTERM)
        until(lambda: len(self.drained) > before)
        until(lambda: self.server.ticks > ticks + 2 or self.server.should_exit)


def asked(connection):
    """Status of an answer, and what it says of its connection."""
    connection.request("GET", "/orders")
    answer = connection.getresponse()
    answer.read()
    return answer.status, answer.headers["connection"]


def until(holds):
    give_up = time.monotonic() + ANSWERED_WITHIN_S
    while not holds():
        assert time.monotonic() < give_up
        time.sleep(0.005)


@pytest.fixture
def leaving():
    before = signal.signal(signal.SIGTERM, lambda *_: None)  # or a server that handles none ends the run
    yield Leaving()
    signal.signal(signal.SIGTERM, before)


def test_in_its_notice_period_it_takes_connections_and_each_answer_ends_one(leaving, monkeypatch):
    monkeypatch.setattr(serving, "NOTICE_S", 60 * serving.NOTICE_S)  # however busy the machine is
    found = []

    def call(api):
        with api.connected() as kept:
            found.append(asked(kept))
            api.ask_to_end()
            ends = api.server.should_exit
            found.append(asked(kept))
            with api.connected() as new:
                found.append(asked(new))
        asyncio.run(api.server.on_tick(0))  # the headers of all answers are made anew each second
        with api.connected() as later:
            found.append(asked(later))
        api.ask_to_end()  # who says so twice does not want to wait
        assert not ends, "without notice"

    leaving.run(call)

    assert [(200, None), (200, "close"), (200, "close"), (200, "close")] == found


def test_it_ends_by_itself_when_the_notice_period_is_over(leaving, monkeypatch):
    monkeypatch.setattr(serving, "NOTICE_S", 0.1)

    leaving.run(Leaving.ask_to_end)

    assert time.monotonic() - leaving.drained[0] >= 0.1
