"""How a real Envoy chooses among processes: by weight, not one that does not answer, and never a canary alone."""

import contextlib
import time

import httpx
import pytest
from msgspec import structs

from counterfoil.api_gateway import envoy
from counterfoil.api_gateway.layout import FAILURES_MAX, ApiAddress
from devservers import child
from devservers.envoy_server import EnvoyServer
from tests.gateway.silent import Silent

REQUESTS = 40
PATIENCE_S = 60
COMMAND_API, QUERY_API = "/problems", "/v1/products/none"
"""What each API answers to everybody."""


@pytest.fixture(scope="module")
def processes():
    """One and a canary of the query API, one and a mute one of the command API."""
    with contextlib.ExitStack() as stack:
        yield {
            name: stack.enter_context(Silent(answers=name != "mute"))
            for name in ("stable", "canary", "talking", "mute")
        }


@pytest.fixture(scope="module")
def client(gateway_layout, processes, servers_directory):
    def at(name, weight=1):
        return ApiAddress("127.0.0.1", processes[name].port, weight)

    layout = structs.replace(
        gateway_layout,
        verifies_tokens=False,
        listens=ApiAddress("127.0.0.1", child.free_port()),
        targets={
            "query_api": (at("stable", 95), at("canary", 5)),
            "command_api": (at("talking"), at("mute")),
        },
    )
    url = f"http://127.0.0.1:{layout.listens.port}"
    with (
        EnvoyServer(servers_directory / "balancing", configuration=envoy.bootstrap(layout), url=url),
        httpx.Client(base_url=url, timeout=60, trust_env=False) as client,
    ):
        yield client


def test_requests_are_split_by_weight_and_those_of_a_lost_canary_go_to_the_others(client, processes):
    split = [client.get(QUERY_API).status_code for _ in range(REQUESTS)]
    taken = processes["canary"].counted[f"GET {QUERY_API}"]
    processes["canary"].answers = False
    without = [client.get(QUERY_API).status_code for _ in range(REQUESTS)]

    assert {200} == {*split, *without}
    assert 1 <= taken <= 3  # 5 of 100
    assert REQUESTS - taken + REQUESTS == processes["stable"].counted[f"GET {QUERY_API}"]


def test_a_process_that_answers_probes_and_no_requests_is_taken_out(client, processes):
    def lost():
        """How many of some requests in succession the mute one gets; nobody notices."""
        before = processes["mute"].counted[f"GET {COMMAND_API}"]
        assert {200} == {client.get(COMMAND_API).status_code for _ in range(REQUESTS)}
        return processes["mute"].counted[f"GET {COMMAND_API}"] - before

    give_up = time.monotonic() + PATIENCE_S
    first = lost()
    while lost() > 0:
        assert time.monotonic() < give_up, "it is asked again and again"

    assert first >= FAILURES_MAX
