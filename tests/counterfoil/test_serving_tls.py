"""An API over TLS: certificates of clients where they are asked for, and HSTS on every answer."""

import contextlib
import http.client
import socket
import ssl

import pytest
from fastapi import Response

from counterfoil import serving
from devservers import child
from runtime.settings import Settings, SettingsError
from tests.certificates import Authority
from tests.runtime.http import applying
from tests.runtime.http.applying import ANSWERED_WITHIN_S, pipelined, serve

HSTS = "max-age=31536000; includeSubDomains"


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"), name="ours")


@contextlib.contextmanager
def api(settings):
    """The port of an application that is served as a process of ours serves it."""

    async def answer(_exchange):
        return Response("answered")

    app = pipelined()
    serve(app, "/orders", answer, method="GET")
    port = child.free_port()
    config = serving.config_of(app, host="127.0.0.1", port=port, drain_s=2, tls=serving.tls_of(settings))
    with applying.serving(config):
        yield port


def asked(port, authority, *, client=None, path="/orders"):
    context = ssl.create_default_context(cafile=str(authority.file))
    if client is not None:
        context.load_cert_chain(client)
    connection = http.client.HTTPSConnection("localhost", port, timeout=ANSWERED_WITHIN_S, context=context)
    with contextlib.closing(connection):
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        return answer.status, answer.headers["strict-transport-security"]


def test_h1_over_tls_every_answer_says_that_it_is_to_stay_so(authority):
    with api(Settings(tls_certificate=authority.server("localhost"))) as port:
        assert [(200, HSTS), (404, HSTS)] == [
            asked(port, authority, path=path) for path in ("/orders", "/nowhere")
        ]
        context = ssl.create_default_context(cafile=str(authority.file))
        with (
            socket.create_connection(("127.0.0.1", port), timeout=ANSWERED_WITHIN_S) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as over_tls,
        ):
            over_tls.sendall(b"no request\r\n\r\n")
            answer = over_tls.recv(65_536)

        assert answer.startswith(b"HTTP/1.1 400")
        assert HSTS.encode() in answer


def test_who_speaks_plainly_to_an_api_with_tls_is_not_answered(authority):
    with api(Settings(tls_certificate=authority.server("localhost"))) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWERED_WITHIN_S)
        with contextlib.closing(connection):
            connection.request("GET", "/orders")
            with pytest.raises((http.client.HTTPException, ConnectionError)):
                connection.getresponse()


def test_a_client_needs_a_certificate_where_an_authority_of_clients_is_set(authority, tmp_path):
    stranger = Authority(tmp_path, name="theirs")
    settings = Settings(tls_certificate=authority.server("localhost"), tls_clients=authority.file)
    with api(settings) as port:
        assert 200 == asked(port, authority, client=authority.server("till-1"))[0]
        for client in (None, stranger.server("till-1")):
            with pytest.raises((ssl.SSLError, ConnectionError, http.client.HTTPException)):
                asked(port, authority, client=client)


def test_a_certificate_of_clients_may_be_left_out_where_it_is_not_required(authority):
    settings = Settings(
        tls_certificate=authority.server("localhost"), tls_clients=authority.file, tls_clients_required=False
    )
    with api(settings) as port:
        assert 200 == asked(port, authority)[0]


def test_a_handshake_that_does_not_end_is_ended(authority, monkeypatch):
    monkeypatch.setattr(serving, "HANDSHAKE_S", 3.0)  # in which one that is made ends on a busy machine, too
    with (
        api(Settings(tls_certificate=authority.server("localhost"))) as port,
        socket.create_connection(("127.0.0.1", port), timeout=ANSWERED_WITHIN_S / 2) as silent,
    ):
        with contextlib.suppress(ConnectionError):
            assert b"" == silent.recv(1)  # uvloop alone would wait a minute
        assert 200 == asked(port, authority)[0]


def test_tls_before_version_1_2_is_not_spoken(authority):
    context = serving.tls_of(Settings(tls_certificate=authority.server("localhost")))

    assert ssl.TLSVersion.TLSv1_2 == context.minimum_version


@pytest.mark.parametrize("name", ["tls_certificate", "tls_clients"])
def test_a_file_that_holds_no_certificate_is_a_fault_of_the_configuration(authority, tmp_path, name):
    (tmp_path / "empty.pem").write_text("")
    given = {"tls_certificate": authority.server("localhost"), name: tmp_path / "empty.pem"}

    with pytest.raises(SettingsError, match=f"COUNTERFOIL_{name.upper()}"):
        serving.tls_of(Settings(**given))


def test_authorities_of_clients_without_a_certificate_are_a_fault_of_the_configuration(monkeypatch, tmp_path):
    monkeypatch.setenv("COUNTERFOIL_TLS_CLIENTS", str(tmp_path))

    with pytest.raises(SettingsError, match="COUNTERFOIL_TLS_CERTIFICATE"):
        Settings.load()
