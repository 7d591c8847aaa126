"""A token from the terminal: what is said where there is one, and where there is none."""

from pathlib import Path

import pytest

from counterfoil import logging_in
from counterfoil.logging_in import NotLoggedIn
from devservers.child import free_port
from runtime.settings import Settings
from tests.online_retail.answering import Server

CREDENTIALS = {"email": "ada@example.org", "password": "correct horse battery"}


@pytest.fixture
def serve():
    servers = []

    def start(status, body):
        servers.append(Server(lambda _: (status, {}, body)))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def token_from(url):
    return logging_in.access_token(Settings(command_api_url=url, home=Path("nowhere")), **CREDENTIALS)


def test_a_token_is_what_a_login_answers(serve):
    server = serve(201, {"access_token": "signed"})

    assert "signed" == token_from(server.url)
    assert [CREDENTIALS] == server.asked


def test_a_refused_login_says_why_without_repeating_the_password(serve):
    with pytest.raises(NotLoggedIn, match="wrong") as refused:
        token_from(serve(401, {"title": "Bad", "detail": "One of both is wrong."}).url)

    assert CREDENTIALS["password"] not in str(refused.value)


def test_where_callers_are_anonymous_no_token_is_needed(serve):
    with pytest.raises(NotLoggedIn, match="anonymous"):
        token_from(serve(404, {"title": "Not found"}).url)


def test_an_api_that_does_not_answer_is_named():
    with pytest.raises(NotLoggedIn, match="does not answer"):
        token_from(f"http://127.0.0.1:{free_port()}")
