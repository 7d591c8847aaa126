"""One mail server for all tests of mails, which begins anew for each of them."""

import pytest

from tests.mails import mailing


@pytest.fixture(scope="session")
def running_mail_server(tmp_path_factory):
    with mailing.mail_server(tmp_path_factory.mktemp("mail")) as server:
        yield server


@pytest.fixture
def mail_server(running_mail_server):
    running_mail_server.forget()
    return running_mail_server
