"""What stands around mails: settings, the doctor's line, the preview, and that history sends none."""

import pytest
from pydantic import ValidationError

from counterfoil import doctor
from runtime.settings import Settings
from tests.commands.processes.running import append
from tests.counterfoil.commanding import run
from tests.examples import mail_accepted, mail_requested

HOST = {"mail_host": "localhost", "mail_from": "no-reply@shop.example", "mail_links": "https://shop.example"}


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"mail_from": "no-reply@shop.example"}, "set that too"),
        ({"mail_host": "localhost"}, "needs COUNTERFOIL_MAIL_FROM and COUNTERFOIL_MAIL_LINKS"),
        ({**HOST, "mail_user": "shop"}, "belong together"),
        ({**HOST, "mail_user": "shop", "mail_password": "p", "mail_tls": "none"}, "not sent unencrypted"),
        ({**HOST, "mail_from": "no-reply@shop.example\r\nBcc: x@y"}, "pattern"),
        ({**HOST, "mail_name": "a\r\nBcc: x@y"}, "pattern"),
    ],
)
def test_settings_of_mails_are_whole_or_refused(given, text):
    with pytest.raises(ValidationError, match=text):
        Settings(**given)


def test_the_password_of_the_mail_server_is_never_shown():
    shown = Settings(**HOST, mail_user="shop", mail_password="a secret").masked()

    assert "***" == shown["COUNTERFOIL_MAIL_PASSWORD"]


@pytest.mark.parametrize(
    ("changes", "verdict", "text"),
    [
        ({}, "ok", "encrypted (TLSv1.3), logged in"),
        ({"mail_password": "guessed"}, "bad", "the reply to the login was 535 5.7.8"),
        ({"mail_ca": None}, "bad", "certificate verify failed"),
    ],
)
def test_the_doctor_tries_the_mail_server(mail_server, database_url, tmp_path, changes, verdict, text):
    settings = mail_server.settings(home=tmp_path, database_url=database_url, **changes)

    (found,) = [check for check in doctor.examine(settings) if check.name == "gateway mail"]

    assert verdict == found.verdict
    assert text in found.message
    assert [] == mail_server.taken


def test_a_template_is_previewed_and_nothing_is_sent(tmp_path):
    done = run(tmp_path, "mail", "preview", "reset-password")

    assert "Subject: Choose a new password" in done.output
    assert "https://shop.example/account/reset-password#token=a-secret-token" in done.output


@pytest.mark.parametrize("arguments", [["nothing"], ["reset-password", "--version", "9"]])
def test_a_template_that_is_none_is_said_to_be_none(tmp_path, arguments):
    done = run(tmp_path, "mail", "preview", *arguments)

    assert 1 == done.exit_code
    assert "there is no template" in done.stderr


def test_replaying_and_verifying_send_nothing(mail_server, tmp_path, database_url):
    append(database_url, [("mail-m-1", 0, [mail_requested(), mail_accepted()])])
    append(database_url, [("mail-m-2", 0, [mail_requested(mail_id="m-2")])])
    environment = {
        "COUNTERFOIL_MAIL_HOST": "localhost",
        "COUNTERFOIL_MAIL_PORT": str(mail_server.ports["starttls"]),
        "COUNTERFOIL_MAIL_FROM": "no-reply@shop.example",
        "COUNTERFOIL_MAIL_LINKS": "https://shop.example",
    }

    replayed = run(tmp_path, "replay", "mail-m-1", "--json", database_url=database_url, **environment)
    verified = run(tmp_path, "audit", "verify", "--json", database_url=database_url, **environment)

    assert (0, 3) == (replayed.exit_code, verified.exit_code), "views are not built here"
    assert [] == mail_server.seen
