"""Orders poured over one command API from a process of its own: first as fast as they are answered, then far faster.

Requests are ready bytes and answers are taken apart by httptools, so that who pours is not what is measured. Prints
one JSON object: phase by phase what was sent and what came back.
"""

import argparse
import asyncio
import itertools
import json
import os
import secrets
import statistics
import sys
import time
from collections import deque

import httptools
import psutil
import uvloop

PEAK_CONNECTIONS = 32
FLOOD_CONNECTIONS = 900
WARM_S = 2.0
LIGHT_SHARE = 0.1
TICK_S = 0.002
LEFT_OVER_S = 15.0
WINDOW_S = 0.5
CREATED = 201
SHED = (429, 503)


class Connection(asyncio.Protocol):
    """One connection with at most one request under way; tells `done` about every answer, and about its end."""

    def __init__(self, done):
        self._done = done
        self._transport = None
        self._parser = httptools.HttpResponseParser(self)
        self._retry_after = False
        self.request = None

    def ask(self, name, body, *, due):
        self.request = (name, due)
        self._transport.write(
            b"POST /v1/orders HTTP/1.1\r\nHost: chaos\r\nContent-Type: application/json\r\n"
            b"Idempotency-Key: %b\r\nCorrelation-Id: %b\r\nContent-Length: %d\r\n\r\n%b"
            % (name.encode(), name.encode(), len(body), body)
        )

    def close(self):
        self._transport.close()

    def connection_made(self, transport):
        self._transport = transport

    def data_received(self, received):
        self._parser.feed_data(received)

    def connection_lost(self, _error):
        if self.request is not None:
            name, due = self.request
            self.request = None
            self._done(self, name, due, 0, retry_after=False)

    def on_header(self, name, value):
        if name.lower() == b"retry-after":
            self._retry_after = value.isdigit()

    def on_message_complete(self):
        status, retry_after = self._parser.get_status_code(), self._retry_after
        self._parser, self._retry_after = httptools.HttpResponseParser(self), False
        (name, due), self.request = self.request, None
        self._done(self, name, due, status, retry_after=retry_after)


class Phase:
    """What came of one load."""

    def __init__(self, server):
        self._server = server
        self._used_s = self._used_by_server()
        self.begun = time.monotonic()
        self.answers = []
        self.unsent = 0
        self.seconds = 0.0
        self.processor_s = 0.0

    def _used_by_server(self):
        times = self._server.cpu_times()
        return times.user + times.system

    def is_answered(self):
        """What the server has done by now was for this load."""
        self.processor_s = self._used_by_server() - self._used_s

    def summary(self):
        accepted = [(due, took) for _, due, took, status, _ in self.answers if status == CREATED]
        in_time = [took for due, took in accepted if due + took <= self.begun + self.seconds]
        shed = [each for each in self.answers if each[3] in SHED]
        return {
            "begun": self.begun,
            "seconds": self.seconds,
            "sent": len(self.answers),
            "unsent": self.unsent,
            "rate": len(in_time) / self.seconds,
            "per_processor_s": len(accepted) / max(self.processor_s, 0.01),
            "p50_s": slowest_of(accepted, share=0.50),
            "p99_s": slowest_of(accepted, share=0.99),
            "shed_p99_s": slowest_of([(due, took) for _, due, took, _, _ in shed], share=0.99),
            "windows": self._windows(accepted),
            "accepted": [each[0] for each in self.answers if each[3] == CREATED],
            "shed": [each[0] for each in shed],
            "without_retry_after": sum(not each[4] for each in shed),
            "reset": [each[0] for each in self.answers if each[3] == 0],
            "others": sorted({each[3] for each in self.answers} - {0, CREATED, *SHED}),
        }

    def _windows(self, accepted):
        """When each half second began, after the beginning, and the slowest answer to what was due in it."""
        slowest = {}
        for due, took in accepted:
            window = int((due - self.begun) / WINDOW_S)
            slowest[window] = max(took, slowest.get(window, 0.0))
        return [(window * WINDOW_S, took) for window, took in sorted(slowest.items())]


def slowest_of(answers, *, share):
    """The time within which this share was answered, in seconds; 0 when there is none."""
    took = sorted(took for _, took in answers)
    return statistics.quantiles(took, n=100)[round(share * 100) - 1] if len(took) > 1 else 0.0


class Pouring:
    """All phases against one port."""

    def __init__(self, port, *, pid, lines):
        self._port = port
        self._server = psutil.Process(pid)
        self._run = secrets.token_hex(4)
        self._numbers = itertools.count(1)
        ordered = ",".join(f'{{"sku":"P{each}","quantity":1,"unit_price":"2.55"}}' for each in range(lines))
        self._rest = f',"country":"FR","currency":"GBP","lines":[{ordered}]}}'.encode()

    def _next(self):
        name = f"{self._run}-{next(self._numbers)}"
        return name, b'{"order_id":"%b"%b' % (name.encode(), self._rest)

    async def closed(self, *, connections, seconds):
        """Every connection asks again as soon as it is answered."""
        phase = Phase(self._server)
        end = phase.begun + seconds
        busy = set()
        all_answered = asyncio.Event()

        def done(connection, name, due, status, *, retry_after):
            now = time.monotonic()
            phase.answers.append((name, due, now - due, status, retry_after))
            if now < end and status:
                connection.ask(*self._next(), due=now)
                return
            busy.discard(connection)
            if not busy:
                all_answered.set()

        opened = await self._open(connections, done)
        busy.update(opened)
        for connection in opened:
            connection.ask(*self._next(), due=time.monotonic())
        async with asyncio.timeout(seconds + LEFT_OVER_S):
            await all_answered.wait()
        phase.seconds = time.monotonic() - phase.begun
        phase.is_answered()
        for connection in opened:
            connection.close()
        return phase

    async def open(self, rate, *, connections, seconds):
        """Requests fall due at a fixed rate, whatever becomes of those before; each waits for a free connection."""
        idle, waiting = [], deque()

        def done(connection, name, due, status, *, retry_after):
            now = time.monotonic()
            phase.answers.append((name, due, now - due, status, retry_after))
            if not status:
                return
            if waiting:
                connection.ask(*self._next(), due=waiting.popleft())
            else:
                idle.append(connection)

        opened = await self._open(connections, done)
        idle += opened
        phase = Phase(self._server)
        fallen_due, wanted = 0, int(rate * seconds)
        while fallen_due < wanted:
            now = time.monotonic()
            while fallen_due < wanted and (due := phase.begun + fallen_due / rate) <= now:
                fallen_due += 1
                if idle:
                    idle.pop().ask(*self._next(), due=due)
                else:
                    waiting.append(due)
            await asyncio.sleep(TICK_S)
        phase.seconds = time.monotonic() - phase.begun
        phase.unsent = len(waiting)
        waiting.clear()
        give_up = time.monotonic() + LEFT_OVER_S
        while any(each.request for each in opened) and time.monotonic() < give_up:  # noqa: ASYNC110
            await asyncio.sleep(TICK_S)
        phase.is_answered()
        for connection in opened:
            connection.close()
        await asyncio.sleep(0.05)
        return phase

    async def _open(self, connections, done):
        loop = asyncio.get_running_loop()
        made = [
            await loop.create_connection(lambda: Connection(done), "127.0.0.1", self._port)
            for _ in range(connections)
        ]
        return [connection for _, connection in made]


async def pour(given):
    """Warm up, find the peak, a light load, the flood, and the light load again."""
    pouring = Pouring(given.port, pid=given.pid, lines=given.lines)
    await pouring.closed(connections=PEAK_CONNECTIONS, seconds=WARM_S)
    peak = await pouring.closed(connections=PEAK_CONNECTIONS, seconds=given.peak_s)
    phases = {"peak": peak.summary()}
    rate = phases["peak"]["rate"]
    light = {"connections": PEAK_CONNECTIONS, "seconds": given.light_s}
    phases["before"] = (await pouring.open(rate * LIGHT_SHARE, **light)).summary()
    flood = {"connections": given.connections, "seconds": given.flood_s}
    phases["flood"] = (await pouring.open(rate * given.times, **flood)).summary()
    phases["after"] = (await pouring.open(rate * LIGHT_SHARE, **light)).summary()
    again = await pouring.closed(connections=PEAK_CONNECTIONS, seconds=given.peak_s)
    phases["peak again"] = again.summary()
    return phases


def main():
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--port", type=int, required=True)
    given.add_argument("--pid", type=int, required=True, help="of the process that answers at the port")
    given.add_argument("--lines", type=int, required=True)
    given.add_argument("--times", type=float, required=True, help="of the peak")
    given.add_argument("--peak-s", type=float, required=True)
    given.add_argument("--light-s", type=float, required=True)
    given.add_argument("--flood-s", type=float, required=True)
    given.add_argument("--connections", type=int, default=FLOOD_CONNECTIONS)
    given.add_argument("--processors", type=int, nargs="+", required=True)
    chosen = given.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, chosen.processors)
    _write(json.dumps(uvloop.run(pour(chosen))))


def _write(answer):
    """A megabyte for the reader of the pipe: an output that is not buffered (PYTHONUNBUFFERED) may take a part only."""
    left = memoryview(answer.encode())
    while left:
        left = left[os.write(sys.stdout.fileno(), left) :]


if __name__ == "__main__":
    main()
