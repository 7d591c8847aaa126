"""The client of the mail server: what counts as taken, as refused for good, and as not known."""

import socket

import pytest

from commands.gateways.gateway import NoAnswer
from commands.gateways.mail import mails, smtp
from commands.gateways.mail.smtp import RejectedMail, SmtpServer, UnansweredMail
from tests.mails.mailing import parsed
from tests.mails.server import PASSWORD, STEPS, USER

pytestmark = pytest.mark.anyio

SENDER, RECIPIENT = "no-reply@shop.example", "canary-of-an-address@example.org"
MAIL = b"From: no-reply@shop.example\r\nSubject: hello\r\n\r\n.a line with a point\r\n"
PATIENCE_S = 0.15


async def send(settings):
    """Whether the mail was taken, and whether a handover was counted."""
    counted = []

    async def handing_over():
        counted.append(True)

    async with SmtpServer.open(mails.place(settings)) as server:
        try:
            await server.send(MAIL, sender=SENDER, recipient=RECIPIENT, handing_over=handing_over)
        except (NoAnswer, RejectedMail, UnansweredMail) as error:
            said = error
        else:
            said = None
    assert RECIPIENT not in str(said)
    assert PASSWORD not in str(said)
    return said, bool(counted)


@pytest.mark.parametrize("port", ["starttls", "implicit"])
async def test_a_mail_is_taken_over_an_encrypted_session_after_a_login(mail_server, port):
    tls = {"starttls": "starttls", "implicit": "implicit"}[port]

    assert (None, True) == await send(mail_server.settings(port, mail_tls=tls))

    (taken,) = mail_server.taken
    assert (SENDER, [RECIPIENT], True, USER) == tuple(
        taken[name] for name in ("sender", "to", "encrypted", "user")
    )
    assert ".a line with a point\r\n" == parsed(taken).get_content()


async def test_a_mail_is_sent_without_encryption_only_where_the_settings_say_so(mail_server):
    plain = {"mail_user": None, "mail_password": None, "mail_ca": None}

    error, _ = await send(mail_server.settings("plain", **plain))
    assert "STARTTLS" in str(error)
    assert [] == mail_server.taken

    assert (None, True) == await send(mail_server.settings("plain", **plain, mail_tls="none"))
    assert [False] == [taken["encrypted"] for taken in mail_server.taken]


@pytest.mark.parametrize("trusted", ["another authority", "the machine's own", "another name"])
async def test_a_certificate_that_is_not_to_be_trusted_ends_the_session_before_the_login(
    mail_server, trusted
):
    changes = {
        "another authority": {"port": "stranger"},
        "the machine's own": {"mail_ca": None},
        "another name": {"mail_host": "127.0.0.1"},
    }[trusted]

    error, _ = await send(mail_server.settings(**changes))

    assert isinstance(error, NoAnswer)
    assert "certificate verify failed" in str(error)
    assert ["connected"] == mail_server.seen


async def test_a_wrong_password_says_nothing_of_the_mail(mail_server):
    error, counted = await send(mail_server.settings(mail_password="guessed"))

    assert isinstance(error, NoAnswer)
    assert "the reply to the login was 535 5.7.8" == str(error)
    assert not counted


async def test_a_server_that_is_not_there_says_nothing():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        place = smtp.MailServer(
            host="127.0.0.1",
            port=taken.getsockname()[1],
            tls="none",
            authorities=None,
            user=None,
            password=None,
            called="shop.example",
        )
        async with SmtpServer.open(place) as server:
            with pytest.raises(NoAnswer, match="no reply to the connection"):
                await server.check()


REPLIES = {
    ("CONNECT", "554 5.3.2 no service"): (NoAnswer, False, "the reply to the connection was 554 5.3.2"),
    ("CONNECT", "421 4.3.2 shutting down"): (NoAnswer, False, "the reply to the connection was 421 4.3.2"),
    ("EHLO again", "550 not you"): (NoAnswer, False, None),
    ("MAIL", "550 5.7.1 not from you"): (NoAnswer, False, "the reply to the sender was 550 5.7.1"),
    ("RCPT", "450 4.2.1 try later"): (NoAnswer, False, "the reply to the recipient was 450 4.2.1"),
    ("RCPT", f"550 5.1.1 <{RECIPIENT}>: no such user"): (RejectedMail, False, "550 5.1.1"),
    ("RCPT", "530 5.7.0 log in first"): (NoAnswer, False, "the reply to the recipient was 530 5.7.0"),
    ("DATA", "451 4.3.0 no room"): (NoAnswer, True, "the reply to the mail was 451 4.3.0"),
    ("END", "452 4.2.2 box full"): (NoAnswer, True, "the reply to the mail was 452 4.2.2"),
    ("END", f"554 5.6.0 <{RECIPIENT}> wants no such thing"): (RejectedMail, True, "554 5.6.0"),
    ("END", "554"): (RejectedMail, True, "554"),
    ("END", "hello?"): (UnansweredMail, True, "the reply to the mail was none: -1"),
    ("END", "299 what"): (UnansweredMail, True, "the reply to the mail was none: 299"),
}


@pytest.mark.parametrize(("step", "reply"), [*REPLIES])
async def test_a_reply_says_of_the_mail_what_it_is_about(mail_server, step, reply):
    kind, handed_over, text = REPLIES[step, reply]
    mail_server.script({"at": step, "say": reply})

    error, counted = await send(mail_server.settings())

    assert (kind, handed_over) == (type(error), counted)
    assert text in {None, str(error)}


async def test_who_asks_for_another_try_is_left_alone_for_a_while(mail_server):
    mail_server.script({"at": "RCPT", "say": "450 4.2.0 greylisted"})

    error, _ = await send(mail_server.settings())

    assert smtp.BUSY_WAIT_S == error.wait_s


@pytest.mark.parametrize("step", STEPS)
async def test_silence_leaves_open_only_what_was_handed_over(mail_server, step, monkeypatch):
    handed_over = step in {"DATA", "END"}
    # Only the step in question is waited for shortly: a busy machine is late with the ones before it.
    for name in ("TAKEN_TIMEOUT_S",) if handed_over else ("CONNECT_TIMEOUT_S", "REPLY_TIMEOUT_S"):
        monkeypatch.setattr(smtp, name, PATIENCE_S)
    mail_server.script({"at": step})

    error, counted = await send(mail_server.settings())

    assert (UnansweredMail if handed_over else NoAnswer, handed_over) == (type(error), counted)


async def test_what_is_not_to_be_handed_over_is_not(mail_server):
    async def not_now():
        raise RuntimeError("not now")

    async with SmtpServer.open(mails.place(mail_server.settings())) as server:
        with pytest.raises(RuntimeError, match="not now"):
            await server.send(MAIL, sender=SENDER, recipient=RECIPIENT, handing_over=not_now)

    assert [] == mail_server.taken


async def test_a_session_can_be_tried_without_a_mail(mail_server):
    async with SmtpServer.open(mails.place(mail_server.settings())) as server:
        assert "encrypted (TLSv1.3), logged in" == await server.check()

    assert [] == mail_server.taken
