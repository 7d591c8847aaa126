"""Ports that were asked for are looked at before any server is started."""

import socket

import pytest

from devservers import standalone
from devservers.standalone import UpFailed
from runtime.settings import Settings
from tests.acceptance import running


@pytest.fixture
def taken():
    """A port somebody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.mark.parametrize("command", [("up",), ("demo", "--exit")])
def test_a_port_in_use_is_said_before_servers_are_started(tmp_path, taken, command):
    result = running.run(tmp_path, *command, COUNTERFOIL_RELAY_HEALTH_PORT=str(taken))

    assert 1 == result.returncode
    assert f"port {taken} of relay (COUNTERFOIL_RELAY_HEALTH_PORT) is in use" in result.stderr
    assert [] == [path for path in tmp_path.rglob("*") if path.name in {"postgres", "redis", "kafka"}]


def test_two_roles_cannot_be_given_one_port(tmp_path):
    port = standalone.child.free_port()
    settings = Settings(home=tmp_path, query_api_port=port, relay_health_port=port)

    with pytest.raises(UpFailed, match=f"port {port} of relay .* is that of query-api too"):
        standalone._given_ports(settings)


def test_a_port_is_checked_where_its_role_listens(tmp_path, taken):
    """Elsewhere it may be free: 127.0.0.2 is another address of this machine."""
    settings = Settings(home=tmp_path, command_api_host="127.0.0.2", command_api_port=taken)

    assert {"command-api": taken} == standalone._given_ports(settings)


def by_default(tmp_path, **ports):
    """Settings of which nobody set a port: those that are not named here are left to chance."""
    ports = dict.fromkeys([*standalone._PORTS.values(), "gateway_port"], 0) | ports
    settings = Settings(home=tmp_path, **ports)
    settings.model_fields_set.difference_update(ports)
    return settings


@pytest.mark.parametrize(
    ("setting", "role", "what"),
    [
        ("command_api_port", "command-api", "the command API is"),
        ("query_api_port", "query-api", "the query API is"),
        ("relay_health_port", "relay", "probes of relay are"),
    ],
)
def test_a_default_that_is_in_use_is_replaced_by_a_free_port_and_that_is_said(
    tmp_path, taken, capsys, setting, role, what
):
    ports = standalone._ports(by_default(tmp_path, **{setting: taken}))

    assert taken not in ports.values()
    assert len(set(ports.values())) == len(ports)
    assert f"{taken} is in use, so {what} at {ports[role]}\n" == capsys.readouterr().err


def test_a_gateway_whose_default_is_in_use_says_where_it_is(tmp_path, taken, capsys):
    port = standalone._gateway_port(by_default(tmp_path, gateway_port=taken), {})

    assert f"{taken} is in use, so the gateway is at {port}\n" == capsys.readouterr().err


def test_ports_that_are_free_or_left_to_chance_are_not_talked_about(tmp_path, capsys):
    port = standalone.child.free_port()
    ports = standalone._ports(by_default(tmp_path, query_api_port=port))

    assert port == ports["query-api"]
    assert "" == capsys.readouterr().err
