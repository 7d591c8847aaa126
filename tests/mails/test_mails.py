"""What comes of a mail: one copy, two in the worst case, and never an address or a secret in the log."""

import asyncio
import contextlib
import json
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from commands.gateways.gateway import NoAnswer, Unaskable
from commands.gateways.mail import mails, smtp
from commands.gateways.mail.handovers import Handovers, Overtaken
from commands.gateways.mail.mails import Accepted, AcceptedAgain, Failed, Unconfirmed
from commands.recipients import Recipient, RecipientsUnreachable, Unwanted
from domain.mail.events import MailAccepted
from event_store.log import codec
from runtime import database
from tests.commands.gateways.sending import sender_of
from tests.commands.processes.running import append, eventually
from tests.examples import mail_requested
from tests.mails.mailing import TOKEN, Book, parsed

pytestmark = pytest.mark.anyio

KEY = "i:mail:mail-m-1:send:1"


@pytest.fixture
def book():
    return Book()


@contextlib.contextmanager
def impatient():
    """The answer to a whole mail has to come soon."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(smtp, "TAKEN_TIMEOUT_S", 0.5)
        yield


def requested(**changes):
    now = datetime.now(UTC)
    return mail_requested(**{"template": "verify-address", "parameters": {}, "requested_at": now} | changes)


@contextlib.asynccontextmanager
async def opened(mail_server, database_url, book):
    settings = mail_server.settings(database_url=database_url)
    async with mails.gateway(book.opened).opened(settings) as port:
        yield port


async def all_taken(mail_server, number):
    """Wait until the server wrote down so many, which may be later than somebody stopped waiting for its answer."""
    await asyncio.to_thread(eventually, lambda: len(mail_server.taken) >= number)


async def test_a_mail_that_is_taken_is_accepted_under_its_message_id(mail_server, database_url, book):
    async with opened(mail_server, database_url, book) as port:
        assert await port.find(KEY, requested()) is None
        answer = await port.ask(KEY, requested())

    (taken,) = mail_server.taken
    assert Accepted(parsed(taken)["Message-ID"]) == answer
    assert ["a-7@example.org"] == taken["to"]
    assert f"#token={TOKEN}" in parsed(taken).get_content()


@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA", "END"])
async def test_a_mail_that_is_put_off_counts_as_no_handover(mail_server, database_url, book, step):
    mail_server.script({"at": step, "say": "451 4.3.0 later"})
    async with opened(mail_server, database_url, book) as port:
        with pytest.raises(NoAnswer, match=r"451 4\.3\.0"):
            await port.ask(KEY, requested())
        assert await port.find(KEY, requested()) is None
        assert 1 == (await port.ask(KEY, requested())).handovers


@pytest.mark.parametrize("step", ["RCPT", "END"])
async def test_a_mail_that_is_refused_for_good_has_failed_and_the_reason_names_nobody(
    mail_server, database_url, book, step
):
    mail_server.script({"at": step, "say": "550 5.1.1 a-7@example.org is not known"})
    async with opened(mail_server, database_url, book) as port:
        assert Failed(permanent=True, reason="550 5.1.1") == await port.ask(KEY, requested())


async def test_a_mail_that_is_not_wanted_any_more_reaches_nobody(mail_server, database_url, book):
    book.says["m-1"] = Unwanted("expired")
    async with opened(mail_server, database_url, book) as port:
        assert Unwanted("expired") == await port.ask(KEY, requested())

    assert [] == mail_server.seen


async def test_a_mail_that_the_server_put_off_for_days_has_failed(mail_server, database_url, book):
    late = requested(requested_at=datetime.now(UTC) - mails.GIVE_UP_AFTER - timedelta(seconds=1))
    async with opened(mail_server, database_url, book) as port:
        assert Failed(permanent=False, reason="took too long") == await port.ask(KEY, late)

    assert [] == mail_server.seen


async def test_an_address_that_is_none_has_failed(mail_server, database_url, book):
    book.says["m-1"] = Recipient(address="a@b\r\nBcc: c@d", secrets={"token": TOKEN})
    async with opened(mail_server, database_url, book) as port:
        assert Failed(permanent=True, reason="the address cannot be written in a mail") == await port.ask(
            KEY, requested()
        )

    assert [] == mail_server.seen


async def test_a_mail_that_cannot_be_made_is_for_an_operator(mail_server, database_url, book):
    async with opened(mail_server, database_url, book) as port:
        with pytest.raises(Unaskable, match="there is no template 'verify-address' in version 9"):
            await port.ask(KEY, requested(template_version=9))


async def test_recipients_that_cannot_be_read_are_tried_later(mail_server, database_url, book):
    book.says["m-1"] = RecipientsUnreachable("the vault is away")
    async with opened(mail_server, database_url, book) as port:
        with pytest.raises(NoAnswer, match="the vault is away"):
            await port.ask(KEY, requested())
        assert isinstance(await port.ask(KEY, requested()), Accepted)


async def test_a_mail_without_a_reply_is_handed_over_once_more_the_same(mail_server, database_url, book):
    intent = requested()
    mail_server.script({"at": "END"})
    async with opened(mail_server, database_url, book) as port:
        with impatient(), pytest.raises(NoAnswer):
            await port.ask(KEY, intent)
        assert await port.find(KEY, intent) is None
        answer = await port.ask(KEY, intent)

    await all_taken(mail_server, 2)
    first, second = mail_server.taken
    assert first["content"] == second["content"]
    assert AcceptedAgain(parsed(first)["Message-ID"], 2) == answer


LATER = {
    "no reply again": ({"at": "END"}, {}),
    "refused for good": ({"at": "RCPT", "say": "550 5.1.1 gone"}, {}),
    "not wanted any more": ({}, {"m-1": Unwanted("expired")}),
}


@pytest.mark.parametrize("later", LATER)
async def test_a_mail_without_a_reply_is_never_handed_over_a_third_time_nor_said_not_to_be_sent(
    mail_server, database_url, book, later
):
    script, says = LATER[later]
    mail_server.script({"at": "END"}, script)
    intent = requested()
    async with opened(mail_server, database_url, book) as port:
        with impatient(), pytest.raises(NoAnswer):
            await port.ask(KEY, intent)
        book.says = says
        with impatient(), contextlib.suppress(NoAnswer):
            assert isinstance(await port.ask(KEY, intent), Unconfirmed)
        await all_taken(mail_server, 2 if later == "no reply again" else 1)
        if later == "no reply again":
            assert Unconfirmed(parsed(mail_server.taken[0])["Message-ID"], 2) == await port.find(KEY, intent)

    assert len(mail_server.taken) == (2 if later == "no reply again" else 1)


async def test_who_was_overtaken_hands_nothing_over(database_url):
    async with database.pool(database_url, role="counterfoil_writer", name="test", size=1) as pool:
        handovers = Handovers(pool)
        await handovers.begin(b"k", known=0)
        for known in (0, 2):
            with pytest.raises(Overtaken):
                await handovers.begin(b"k", known=known)
        await handovers.begin(b"k", known=1)
        assert 2 == await handovers.count(b"k")
        await handovers.take_back(b"k", known=1)
        assert 1 == await handovers.count(b"k")
        await handovers.take_back(b"k", known=0)
        assert 0 == await handovers.count(b"k")


def events(url, stream):
    with database.connect(url, role="counterfoil_reader", name="test") as conn:
        rows = conn.execute(
            "select type, payload::text from log.event where stream = %s order by position", [stream]
        ).fetchall()
    return [codec.decode(name, payload.encode()) for name, payload in rows]


def test_the_log_of_a_mail_that_was_sent_holds_neither_address_nor_secret(
    mail_server, database_url, book, monkeypatch, capsys
):
    monkeypatch.setattr(smtp, "BUSY_WAIT_S", 0.01)
    append(
        database_url,
        [(f"mail-m-{number}", 0, [requested(mail_id=f"m-{number}")]) for number in range(3)],
    )
    mail_server.script({"at": "RCPT", "say": "450 4.2.1 a-7@example.org is busy"})
    with sender_of(mails.gateway(book.opened), database_url, mail_server.settings()) as work:
        eventually(
            lambda: all(len(events(database_url, f"mail-m-{number}")) == 2 for number in range(3)), wait_s=120
        )
        accepted = work.value(
            "counterfoil_gateway_calls_total", gateway="mail", call="ask", result="Accepted"
        )

    assert 3 == accepted == len(mail_server.taken)
    answers = [events(database_url, f"mail-m-{number}")[1] for number in range(3)]
    assert {MailAccepted} == {type(answer) for answer in answers}
    assert {answer.message_id for answer in answers} == {
        parsed(taken)["Message-ID"] for taken in mail_server.taken
    }
    written = dump(database_url) + "".join(capsys.readouterr())
    assert "intent_unanswered" in written, "the postponement was not logged"
    for canary in ("example.org", TOKEN):
        assert canary not in written
        assert canary in json.dumps(mail_server.taken), "the canary was never there"


def dump(url):
    """Every row of every table, as text."""
    with psycopg.connect(url, autocommit=True) as conn:
        tables = conn.execute(
            "select format('%I.%I', schemaname, tablename) from pg_tables"
            " where schemaname not in ('pg_catalog', 'information_schema')"
        ).fetchall()
        return "".join(str(conn.execute(f"select t::text from {table} t").fetchall()) for (table,) in tables)
