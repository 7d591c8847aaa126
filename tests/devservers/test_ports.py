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


def test_a_default_that_is_in_use_is_replaced_by_a_free_port(tmp_path, taken, monkeypatch):
    monkeypatch.setattr(Settings.model_fields["query_api_port"], "default", taken)
    ports = standalone._ports(Settings(home=tmp_path))

    assert taken not in ports.values()
    assert len(set(ports.values())) == len(ports)
