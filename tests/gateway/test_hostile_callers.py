"""Slow connections, floods of headers and oversized bodies: others are answered meanwhile, and how fast is printed."""

import http.client
import time

import pytest

from tests import sizes
from tests.gateway.hostile import ATTACKS, TIMEOUT_S, under_way


def times_s(port):
    """How long requests of somebody else take, one after another; each is answered."""
    connection, taken = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S), []
    for _ in range(sizes.OTHERS_ASKED.chosen):
        begun = time.perf_counter()
        connection.request("GET", "/problems/not-found")
        answer = connection.getresponse()
        assert (200, True) == (answer.status, bool(answer.read()))
        taken.append(time.perf_counter() - begun)
    connection.close()
    return sorted(taken)


def p99_ms(taken):
    return taken[len(taken) * 99 // 100] * 1000


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_others_are_answered_meanwhile(attack, apis, owner, capsys):
    port = apis["command-api"][0].port
    before = p99_ms(times_s(port))
    with under_way(attack, port, owner):
        meanwhile = p99_ms(times_s(port))
    with capsys.disabled():
        print(
            f"\np99 of others {before:.1f} ms before, {meanwhile:.1f} ms during {attack.__name__}:"
            f" ratio {meanwhile / before:.2f}"
        )
