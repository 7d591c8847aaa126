"""Callers who want to hold others up; each goes on in a process of its own until its block ends."""

import contextlib
import http.client
import socket

from runtime.http.connection_limits import HEADERS_MAX
from tests import sizes
from tests.forking import FORKING

TIMEOUT_S = 60
HEAD = b"GET /problems HTTP/1.1\r\nHost: x\r\n"
PIECE = b" " * 64 * 1024
BODY_PIECES = 32
"""Twice as much as a command may have."""


@contextlib.contextmanager
def under_way(attack, port, token):
    """An attack on a port, begun, until the end of the block."""
    begun, over = FORKING.Event(), FORKING.Event()
    process = FORKING.Process(target=attack, args=(port, token, begun, over))
    process.start()
    try:
        assert begun.wait(TIMEOUT_S)
        yield
    finally:
        over.set()
        process.join(TIMEOUT_S)
        process.kill()
    assert 0 == process.exitcode


def slow_connections(port, _token, begun, over):
    """Send half of a head over many connections; those that are ended are opened again."""
    with contextlib.ExitStack() as stack:
        while not over.wait(0 if not begun.is_set() else 1):
            stack.close()
            for _ in range(sizes.SLOW_CONNECTIONS.chosen):
                connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), TIMEOUT_S))
                connection.sendall(HEAD)
            begun.set()
            over.wait(5)


def floods_of_headers(port, _token, begun, over):
    """Send more headers than are allowed, over one connection after another."""
    head = HEAD + b"".join(b"X-%d: a\r\n" % number for number in range(2 * HEADERS_MAX)) + b"\r\n"
    while not over.is_set():
        with socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as connection:
            connection.sendall(head)
            with contextlib.suppress(ConnectionError):
                assert b" 431 " in connection.recv(4096)
        begun.set()


def oversized_bodies(port, token, begun, over):
    """Send bodies that are larger than a command may be and do not say so, one after another."""
    while not over.is_set():
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
        given = {**token, "idempotency-key": "k", "content-type": "application/json"}
        with contextlib.closing(connection), contextlib.suppress(ConnectionError):
            connection.request(
                "POST", "/v1/orders", body=iter([PIECE] * BODY_PIECES), headers=given, encode_chunked=True
            )
            status = connection.getresponse().status
            assert status == 413, status
        begun.set()


ATTACKS = (slow_connections, floods_of_headers, oversized_bodies)
